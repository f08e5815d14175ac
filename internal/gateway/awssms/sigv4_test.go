package awssms

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// The requests and signatures are those of the test suite that AWS published for Signature Version 4. What it
// says of paths with dots and slashes is left out: our path is always the same one.
func TestSignaturesOfThePublishedSuite(t *testing.T) {
	s := signer{id: "AKIDEXAMPLE", key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", region: "us-east-1", service: "service"}
	const plain = "host;x-amz-date"
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		method, path string
		header       http.Header
		body         string
		signed       string
		want         string
	}{
		"get-vanilla":        {"GET", "/", nil, "", plain, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"post-vanilla":       {"POST", "/", nil, "", plain, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-vanilla-query": {"POST", "/?Param1=value1", nil, "", plain, "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
		"get-vanilla-query-order-key-case": {
			"GET", "/?Param2=value2&Param1=value1", nil, "", plain,
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
		},
		"get-utf8": {"GET", "/\u1234", nil, "", plain, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		"get-header-value-trim": {
			"GET", "/", http.Header{"My-Header1": {" value1"}, "My-Header2": {` "a   b   c"`}}, "", "host;my-header1;my-header2;x-amz-date",
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
		},
		"get-header-key-duplicate": {
			"GET", "/", http.Header{"My-Header1": {"value2", "value2", "value1"}}, "", "host;my-header1;x-amz-date",
			"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
		},
		"post-header-key-sort": {
			"POST", "/", http.Header{"My-Header1": {"value1"}}, "", "host;my-header1;x-amz-date",
			"c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
		},
		"post-header-value-case": {
			"POST", "/", http.Header{"My-Header1": {"VALUE1"}}, "", "host;my-header1;x-amz-date",
			"cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
		},
		"post-x-www-form-urlencoded": {
			"POST", "/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "Param1=value1", "content-type;host;x-amz-date",
			"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
		},
		"post-x-www-form-urlencoded-parameters": {
			"POST", "/", http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf8"}}, "Param1=value1", "content-type;host;x-amz-date",
			"1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
		},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse("https://example.amazonaws.com" + test.path)
			if err != nil {
				t.Fatal(err)
			}
			header := test.header
			if header == nil {
				header = http.Header{}
			}
			s.sign(test.method, u, header, []byte(test.body), at.In(time.FixedZone("east", 5*3600)))
			want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" +
				test.signed + ", Signature=" + test.want
			if got := header.Get("Authorization"); got != want {
				t.Errorf("signed\n%s, want\n%s", got, want)
			}
			if got := header.Get("X-Amz-Date"); got != "20150830T123600Z" {
				t.Errorf("dated %s", got)
			}
		})
	}
}
