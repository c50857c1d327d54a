// This file exists because policies are kept in artifacts, which outlive the order of our constants:
// kinds are written there by their names.

package policy

import (
	"fmt"
	"slices"
)

var kindNames = [...]string{"http", "ws", "tcp", "udp", "dns", "read", "write", "exec", "env", "addon"}

// String gives the kind as records name it.
func (k Kind) String() string { return kindNames[k] }

// MarshalText gives the kind as String does.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kindNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is not a kind of rule", text)
	}
	*k = Kind(i)
	return nil
}
