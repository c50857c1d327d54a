// This file exists because a label that begins with "xn--" stands for a name outside ASCII, and some
// readers refuse what stands for none, or for one that another spelling stands for, too.

package policy

import (
	"strings"

	"golang.org/x/net/idna"
)

// idn checks as WHATWG URL does (its "domain to ASCII", with Unicode Technical Standard 46).
var idn = idna.New(idna.ValidateLabels(true), idna.CheckHyphens(false), idna.CheckJoiners(true), idna.BidiRule(),
	idna.StrictDomainName(false), idna.Transitional(false))

// checkIDN holds a canonical name's labels that begin with "xn--" to be the one spelling of a name.
func checkIDN(s string) error {
	if !strings.HasPrefix(s, "xn--") && !strings.Contains(s, ".xn--") {
		return nil
	}
	name, err := idn.ToUnicode(s)
	if err == nil {
		var back string
		if back, err = idn.ToASCII(name); err == nil && back == s {
			return nil
		}
	}
	return ambiguous("the host has a label that begins with xn-- and stands for no name")
}
