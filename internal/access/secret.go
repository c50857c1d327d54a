package access

// The secret half of a token: what it looks like, and what of it is kept.
//
// What is kept is its plain SHA-256. A slow hash is for secrets that people think up, of which one can try a likely
// few; this one is 32 random bytes, of which nobody can try a part worth mentioning, however fast the hash is.

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/big"
	"net/http"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// A secret is secretPrefix, 32 random bytes and their CRC-32, both in base 62 with leading zeros. The prefix lets
// scanners find one that was published; the checksum tells a typo.
const (
	secretPrefix = "weir_"
	randomLen    = 43
	checkLen     = 6
	secretLen    = len(secretPrefix) + randomLen + checkLen
)

func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	random := base62(new(big.Int).SetBytes(b[:]), randomLen)
	return secretPrefix + random + checksum(random)
}

func checksum(random string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(random)))), checkLen)
}

func base62(n *big.Int, length int) string {
	digits := n.Text(62)
	return strings.Repeat("0", length-len(digits)) + digits
}

// wellFormed tells whether a text could be a secret of any server.
func wellFormed(text string) bool {
	if len(text) != secretLen || !strings.HasPrefix(text, secretPrefix) {
		return false
	}
	random, check := text[len(secretPrefix):secretLen-checkLen], text[secretLen-checkLen:]
	return strings.Trim(random, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" && checksum(random) == check
}

// digest gives what is kept of a secret.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Bearer gives the token of a request: from its one Authorization header (RFC 6750, section 2.1), never from the
// URL, which ends up in logs and histories. Errors: weir.Unknown.
func Bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", unknown(fmt.Sprintf("the request has %d Authorization headers", len(values)))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " \t,") {
		return "", unknown("the Authorization header holds no token")
	}
	return token, nil
}

// unknown is the error for who can't show a token that counts. It never repeats what was shown.
func unknown(message string) error {
	return &weir.Error{Code: weir.Unknown, Message: message,
		Remedy: `send "Authorization: Bearer TOKEN" with a token of this server (NETLIFY_AUTH_TOKEN or WEIR_TOKEN); weir token create makes one`}
}
