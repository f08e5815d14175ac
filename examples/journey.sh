# latchkey dev --env-file latchkey.env & and then, in another terminal:
. ./latchkey.env
idx() { curl -sS -H 'Content-Type: application/json' "$LATCHKEY_URL/idp/idx/$1" -d "$2"; }
pick() { grep -o "$1" | head -n 1 | cut -d '"' -f "$2"; }

# 1. Begin: tell the engine which application asks, and keep a PKCE verifier.
verifier=$(openssl rand -hex 32)
challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | openssl base64 -A | tr '+/' '-_' | tr -d '=')
handle=$(curl -sS "$ISSUER/v1/interact" -d "client_id=$CLIENT_ID" -d 'scope=openid profile email' -d state=any \
  -d "redirect_uri=$REDIRECT_URI" -d "code_challenge=$challenge" -d code_challenge_method=S256 | pick '"interaction_handle":"[^"]*"' 4)
state=$(idx introspect "{\"interactionHandle\":\"$handle\"}" | pick '"stateHandle":"[^"]*"' 4)

# 2. Name and password. The answer says what comes next: a phone has to be set up.
phone=$(idx identify "{\"identifier\":\"$USERNAME\",\"credentials\":{\"passcode\":\"$PASSWORD\"},\"stateHandle\":\"$state\"}" | pick '"value":"aut[^"]*"' 4)

# 3. The phone and its number. A code is texted; dev keeps the text in its outbox.
number=+15551234567
curl -sS -o /dev/null -X DELETE "$OUTBOX_URL"
idx credential/enroll "{\"authenticator\":{\"id\":\"$phone\",\"methodType\":\"sms\",\"phoneNumber\":\"$number\"},\"stateHandle\":\"$state\"}" >/dev/null
code=$(curl -sS -G "$OUTBOX_URL" --data-urlencode "to=$number" -d wait=5s | pick '#[0-9]\{6\}' 1 | tr -d '#')

# 4. The code. The engine is satisfied and gives an interaction code, which is worth tokens.
interaction_code=$(idx challenge/answer "{\"credentials\":{\"passcode\":\"$code\"},\"stateHandle\":\"$state\"}" |
  pick '"interaction_code","required":true,"value":"[^"]*"' 8)
token=$(curl -sS "$ISSUER/v1/token" -d grant_type=interaction_code -d "interaction_code=$interaction_code" \
  -d "client_id=$CLIENT_ID" -d "code_verifier=$verifier" | pick '"access_token":"[^"]*"' 4)

# 5. Who is it?
curl -sS "$ISSUER/v1/userinfo" -H "Authorization: Bearer $token"
