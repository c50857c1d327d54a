package gateway

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-run/weir/internal/weir"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func pemOf(t *testing.T, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func ecKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, m jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	s, err := jwt.NewWithClaims(m, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestIdentity(t *testing.T) {
	rsaKey, ec := rsaKey(t), ecKey(t, elliptic.P256())
	rsaPEM, ecPEM := pemOf(t, rsaKey.Public()), pemOf(t, ec.Public())
	good := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix()}
	expired := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(-time.Hour).Unix()}
	future := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(time.Hour).Unix()}
	hs := sign(t, jwt.SigningMethodHS256, secret, good)
	parts := strings.Split(hs, ".")
	asking := jwt.NewWithClaims(jwt.SigningMethodHS256, good)
	asking.Header["crit"], asking.Header["x-only-for"] = []string{"x-only-for"}, "another"
	critical, err := asking.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	none := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good)
	for name, c := range map[string]struct {
		key   []byte
		token string
		ok    bool
	}{
		"HS256":                   {secret, hs, true},
		"HS256, newline in file":  {append([]byte("\n"), append(secret, '\n')...), hs, true},
		"RS256":                   {rsaPEM, sign(t, jwt.SigningMethodRS256, rsaKey, good), true},
		"ES256":                   {ecPEM, sign(t, jwt.SigningMethodES256, ec, good), true},
		"none":                    {secret, none, false},
		"none, RSA":               {rsaPEM, none, false},
		"none in capitals":        {secret, base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"NONE"}`)) + "." + parts[1] + ".", false},
		"public key as secret":    {rsaPEM, sign(t, jwt.SigningMethodHS256, rsaPEM, good), false},
		"EC public key as secret": {ecPEM, sign(t, jwt.SigningMethodHS256, ecPEM, good), false},
		"other algorithm":         {secret, sign(t, jwt.SigningMethodHS512, secret, good), false},
		"other RSA padding":       {rsaPEM, sign(t, jwt.SigningMethodPS256, rsaKey, good), false},
		"other secret":            {secret, sign(t, jwt.SigningMethodHS256, append([]byte("x"), secret...), good), false},
		"other EC key":            {ecPEM, sign(t, jwt.SigningMethodES256, ecKey(t, elliptic.P256()), good), false},
		"expired":                 {secret, sign(t, jwt.SigningMethodHS256, secret, expired), false},
		"never expires":           {secret, sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "u1"}), false},
		"not yet":                 {secret, sign(t, jwt.SigningMethodHS256, secret, future), false},
		"a critical extension":    {secret, critical, false},
		"no signature":            {secret, parts[0] + "." + parts[1] + ".", false},
		"claims changed":          {secret, parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"admin","exp":9999999999}`)) + "." + parts[2], false},
		"garbage":                 {secret, "a.b.c", false},
		"empty":                   {secret, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := NewIdentityVerifier(c.key)
			if err != nil {
				t.Fatal(err)
			}
			if got := v.clientContext(c.token, "http://localhost"); (got != nil) != c.ok {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestClientContextOfAVerifiedUser(t *testing.T) {
	v, err := NewIdentityVerifier(secret)
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix()})
	verifier := func(o *Options) { o.Verifier = v }
	f := giving(`{"statusCode":200}`)
	ask(f, request("GET", "/.netlify/functions/fn", "", "Authorization: Bearer "+token), verifier)
	type claims struct {
		Identity struct{ URL, Token string }
		User     struct{ Sub string }
	}
	var got struct {
		claims
		Custom struct{ Netlify string }
	}
	if err := json.Unmarshal(f.got[0].ClientContext, &got); err != nil {
		t.Fatal(err)
	}
	var inner claims
	raw, err := base64.StdEncoding.DecodeString(got.Custom.Netlify)
	if err != nil || json.Unmarshal(raw, &inner) != nil {
		t.Fatalf("custom.netlify %q", got.Custom.Netlify)
	}
	if got.User.Sub != "u1" || got.Identity.URL != "http://localhost/.netlify/identity" || got.Identity.Token != token || inner != got.claims {
		t.Errorf("%+v", got)
	}
	var event struct{ Headers map[string]string }
	var told struct {
		URL  string
		User struct{ Sub string }
	}
	if err := json.Unmarshal(f.got[0].Event, &event); err != nil {
		t.Fatal(err)
	}
	raw, err = base64.StdEncoding.DecodeString(event.Headers["x-nf-identity-info"])
	if err != nil || json.Unmarshal(raw, &told) != nil || told.User.Sub != "u1" || told.URL != got.Identity.URL {
		t.Errorf("a function v2 is told %s", raw)
	}

	for name, c := range map[string]struct {
		r      *http.Request
		change []func(*Options)
	}{
		"no verifier":  {request("GET", "/.netlify/functions/fn", "", "Authorization: Bearer "+token), nil},
		"no token":     {request("GET", "/.netlify/functions/fn", ""), []func(*Options){verifier}},
		"other scheme": {request("GET", "/.netlify/functions/fn", "", "Authorization: Basic "+token), []func(*Options){verifier}},
	} {
		f := giving(`{"statusCode":200}`)
		c.r.Header.Set("X-Nf-Identity-Info", "mine")
		if ask(f, c.r, c.change...); f.got[0].ClientContext != nil || strings.Contains(string(f.got[0].Event), "x-nf-identity-info") {
			t.Errorf("%s: %s %s", name, f.got[0].ClientContext, f.got[0].Event)
		}
	}
}

func TestBadIdentityKeys(t *testing.T) {
	private, err := x509.MarshalPKCS8PrivateKey(ecKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{
		"empty":       nil,
		"short":       []byte("0123456789abcdef0123456789abcde"),
		"blanks":      []byte(strings.Repeat(" ", 40)),
		"broken PEM":  []byte("-----BEGIN PUBLIC KEY-----\nnonsense of more than 32 bytes"),
		"private key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		"P-384":       pemOf(t, ecKey(t, elliptic.P384()).Public()),
	} {
		v, err := NewIdentityVerifier(key)
		if weir.ErrorCode(err) != weir.Invalid || v != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
