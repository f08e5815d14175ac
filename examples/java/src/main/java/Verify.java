import com.okta.jwt.AccessTokenVerifier;
import com.okta.jwt.Jwt;
import com.okta.jwt.JwtVerificationException;
import com.okta.jwt.JwtVerifiers;

/** Verify judges an access token, as an API does with each that it is shown. */
public class Verify {
    public static void main(String[] args) {
        AccessTokenVerifier verifier = JwtVerifiers.accessTokenVerifierBuilder()
                .setIssuer(System.getenv("ISSUER"))
                .setAudience("api://default")
                .build();
        try {
            Jwt token = verifier.decode(System.getenv("ACCESS_TOKEN"));
            System.out.println(token.getClaims().get("sub") + " may " + token.getClaims().get("scp"));
        } catch (JwtVerificationException e) {
            System.out.println("no: " + e.getMessage());
        }
    }
}
