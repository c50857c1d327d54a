package access

import (
	"maps"
	"slices"
	"testing"
)

// TestWhoMayWhat is the table of docs/access.md, written out: whoever changes one must mean it.
func TestWhoMayWhat(t *testing.T) {
	want := map[Right]string{ // v d a o: viewer, developer, approver, owner; p: deploy token
		Read: "vdaop", ReadValues: "dao", Deploy: "daop", Rollback: "dao", SetVariables: "dao", RunJobs: "dao", CreateSite: "dao", ChangeSite: "dao",
		Approve: "ao", SetPolicy: "ao", DeleteSite: "o", ManageTokens: "o", RotateKeys: "o",
	}
	if !slices.Equal(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(needs))) {
		t.Error("the table of the test has other rights than the one that counts")
	}
	of := map[rune]Identity{'p': {Kind: Deployer, Role: Developer, Sites: []string{"s1"}}}
	for _, r := range Roles {
		of[rune(r[0])] = Identity{Kind: Personal, Role: r}
	}
	for right, who := range want {
		for letter, i := range of {
			may := slices.Contains([]rune(who), letter)
			if got := i.May(right, "s1"); got != may {
				t.Errorf("%c %s: %v", letter, right, got)
			}
			if got := i.May(right, ""); got != (may && letter != 'p') {
				t.Errorf("%c %s on the server: %v", letter, right, got)
			}
			i.Sites = []string{"s1"}
			if i.May(right, "s1") != may || i.May(right, "s2") || i.May(right, "") {
				t.Errorf("%c %s: a token for s1 may more or less than that", letter, right)
			}
		}
	}
}

// TestWhatIsNoIdentityMayNothing: what is forgotten or made up opens nothing.
func TestWhatIsNoIdentityMayNothing(t *testing.T) {
	for name, i := range map[string]Identity{
		"zero": {}, "no kind": {Role: Owner}, "no role": {Kind: Personal}, "unknown role": {Kind: Personal, Role: "root"},
		"unknown kind": {Kind: "admin", Role: Owner}, "no sites": {Kind: Personal, Role: Owner, Sites: []string{}},
		"a deploy token for all": {Kind: Deployer, Role: Owner}, "a deploy token for the server": {Kind: Deployer, Role: Owner, Sites: []string{""}},
	} {
		for right := range needs {
			if i.May(right, "") || name != "a deploy token for all" && i.May(right, "s1") {
				t.Errorf("%s may %s", name, right)
			}
		}
	}
	if (Identity{Kind: Deployer, Role: Owner}).May(Deploy, "s1") {
		t.Error("a deploy token without a site deploys")
	}
	if (Identity{Kind: Personal, Role: Owner}).May("everything", "s1") {
		t.Error("a right that nobody knows is the owner's")
	}
}
