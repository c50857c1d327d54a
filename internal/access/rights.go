package access

// Who may do what: one table, and one function that reads it.

import "slices"

// Role says how much a token may do. Each includes those before it.
type Role string

// The roles, the least first.
const (
	Viewer    Role = "viewer"    // reads all but the values of variables
	Developer Role = "developer" // deploys, sets variables, rolls back, runs jobs
	Approver  Role = "approver"  // agrees to what functions may do
	Owner     Role = "owner"     // gives tokens, deletes sites
)

// Roles are all roles, the least first.
var Roles = []Role{Viewer, Developer, Approver, Owner}

// Kind says what a token is for.
type Kind string

// The kinds.
const (
	Personal Kind = "personal" // for a person or a program: may what its role may
	Deployer Kind = "deploy"   // for a pipeline: may deploy to its one site, and see how that goes
)

// Right is one thing that one may do on a site, or on the server as a whole.
type Right string

// The rights.
const (
	Read         Right = "read"          // sites, deploys, policies, names of variables, logs, records, changes
	ReadValues   Right = "read_values"   // values of variables that are not secret; nobody reads the others
	Deploy       Right = "deploy"        // begin, upload, cancel; published as it lands, unless it is held
	Rollback     Right = "rollback"      // publish another deploy, lock, remove a deploy
	SetVariables Right = "set_variables" //
	RunJobs      Right = "run_jobs"      // run a scheduled function now, replay a failed job
	CreateSite   Right = "create_site"   // on the server
	ChangeSite   Right = "change_site"   // its name and domains
	Approve      Right = "approve"       // approve and reject deploys
	SetPolicy    Right = "set_policy"    // set the policy of a site on the server
	DeleteSite   Right = "delete_site"   //
	ManageTokens Right = "manage_tokens" // on the server: list, create, revoke
	RotateKeys   Right = "rotate_keys"   // on the server: seal variables anew
)

// needs gives the least role that has a right.
var needs = map[Right]Role{
	Read:         Viewer,
	ReadValues:   Developer,
	Deploy:       Developer,
	Rollback:     Developer,
	SetVariables: Developer,
	RunJobs:      Developer,
	CreateSite:   Developer,
	ChangeSite:   Developer,
	Approve:      Approver,
	SetPolicy:    Approver,
	DeleteSite:   Owner,
	ManageTokens: Owner,
	RotateKeys:   Owner,
}

// Identity is who asks. The zero Identity may nothing.
type Identity struct {
	ID    string   // of the token
	Name  string   // of the token; what the journal knows its owner by
	Kind  Kind     //
	Role  Role     //
	Sites []string // ids of the sites that it is for; nil: all, and the server
	From  string   // address of the client
}

// May tells whether there is a right on a site, by its id; "": on the server as a whole, which a token for
// particular sites never has. A right that nobody knows is nobody's.
func (i Identity) May(right Right, site string) bool {
	if i.Sites != nil && !slices.Contains(i.Sites, site) {
		return false
	}
	if i.Kind == Deployer {
		return site != "" && i.Sites != nil && (right == Read || right == Deploy)
	}
	role, known := needs[right]
	return known && i.Kind == Personal && slices.Index(Roles, i.Role) >= slices.Index(Roles, role)
}
