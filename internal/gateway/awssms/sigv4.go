package awssms

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/secret"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	stamp     = "20060102T150405Z"
	day       = "20060102"
)

// A signer signs requests by AWS Signature Version 4. The names are those of its description:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
type signer struct {
	id      string
	key     secret.Text
	region  string
	service string
}

// sign adds the time and the signature to a request's header. All that stands in it is signed, and the host.
func (s signer) sign(method string, u *url.URL, header http.Header, body []byte, now time.Time) {
	now = now.UTC()
	header.Set("X-Amz-Date", now.Format(stamp))
	signed, canonical := canonicalHeaders(u.Host, header)
	request := strings.Join([]string{method, canonicalPath(u), canonicalQuery(u), canonical, signed, digest(body)}, "\n")
	scope := strings.Join([]string{now.Format(day), s.region, s.service, "aws4_request"}, "/")
	toSign := strings.Join([]string{algorithm, now.Format(stamp), scope, digest([]byte(request))}, "\n")
	header.Set("Authorization", algorithm+" Credential="+s.id+"/"+scope+", SignedHeaders="+signed+
		", Signature="+hex.EncodeToString(mac(s.signingKey(now), toSign)))
}

// signingKey is good for one day, one region and one service.
func (s signer) signingKey(now time.Time) []byte {
	key := []byte("AWS4" + s.key.Reveal())
	for _, part := range []string{now.Format(day), s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

func canonicalPath(u *url.URL) string {
	if u.Path == "" {
		return "/"
	}
	return u.EscapedPath()
}

// canonicalQuery sorts by name and then by value, and writes spaces as %20.
func canonicalQuery(u *url.URL) string {
	query := u.Query()
	for _, values := range query {
		slices.Sort(values)
	}
	return strings.ReplaceAll(query.Encode(), "+", "%20")
}

// canonicalHeaders are the names of all headers, and a line for each with its values, spaces squeezed.
func canonicalHeaders(host string, header http.Header) (names, lines string) {
	all := map[string]string{"host": host}
	for name, values := range header {
		var squeezed []string
		for _, v := range values {
			squeezed = append(squeezed, strings.Join(strings.Fields(v), " "))
		}
		all[strings.ToLower(name)] = strings.Join(squeezed, ",")
	}
	sorted := slices.Sorted(maps.Keys(all))
	var b strings.Builder
	for _, name := range sorted {
		b.WriteString(name + ":" + all[name] + "\n")
	}
	return strings.Join(sorted, ";"), b.String()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}
