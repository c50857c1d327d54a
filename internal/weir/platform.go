package weir

// What a server holds: sites, and the deploys that they serve.

import "time"

// Site is a site on a server. Its record changes in one step, so that whoever reads it sees one state.
type Site struct {
	ID      string    `json:"id"`                // a UUID
	Name    string    `json:"name"`              // label of its own host name, NAME.DOMAIN; unique on the server
	Domains []string  `json:"domains,omitempty"` // other host names, in lower case, each unique on the server; the first is the primary one
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`

	// Published is the deploy that production URLs serve, "" for none.
	Published string `json:"published,omitempty"`
	// Schedules are the schedules of the published deploy's functions, by name.
	Schedules map[string]string `json:"schedules,omitempty"`
	// Aliases are the deploys that ALIAS--NAME.DOMAIN serve.
	Aliases map[string]string `json:"aliases,omitempty"`
	// Locked keeps new deploys from being published by themselves.
	Locked bool `json:"locked,omitempty"`
	// Approved is the deploy whose policies were approved last, "" for none. What it may do needs no other approval.
	Approved string `json:"approved,omitempty"`
}

// DeployState says how far a deploy has come. The words are those of Netlify's API.
type DeployState string

// The states. Ready and Failed are final.
const (
	DeployNew        DeployState = "new"        // nothing is known of its files
	DeployPreparing  DeployState = "preparing"  // what is missing is being found out
	DeployPrepared   DeployState = "prepared"   // what is missing is known
	DeployUploading  DeployState = "uploading"  // files arrive
	DeployUploaded   DeployState = "uploaded"   // all are there
	DeployProcessing DeployState = "processing" // functions are being read, and what they may do judged
	DeployReady      DeployState = "ready"      // it can be served
	DeployFailed     DeployState = "error"      // it can't, and Error says why
)

// The contexts of deploys, in the words of Netlify.
const (
	ContextProduction = "production"
	ContextPreview    = "deploy-preview"
	ContextBranch     = "branch-deploy"
	ContextDev        = "dev"
)

// Review says whether what a deploy may do was approved.
type Review string

// The reviews.
const (
	ReviewNone     Review = ""         // it gains nothing over what was approved before
	ReviewHeld     Review = "held"     // it gains something: it runs with no more than was approved before, and isn't published
	ReviewApproved Review = "approved" // somebody with the right to has agreed
	ReviewRejected Review = "rejected" // somebody with the right to has not
)

// Deploy is one upload of a site. Once it is ready, only its review and its title change.
type Deploy struct {
	ID      string      `json:"id"` // 24 hexadecimal digits, the earlier the lower
	Site    string      `json:"site"`
	State   DeployState `json:"state"`
	Error   string      `json:"error,omitempty"` // of DeployFailed, for the author
	Context string      `json:"context"`
	Alias   string      `json:"alias,omitempty"` // a name of its own in URLs (Netlify's branch)
	Draft   bool        `json:"draft,omitempty"` // never published by itself
	Title   string      `json:"title,omitempty"`
	Author  string      `json:"author"`           // name of the token that began it
	Source  string      `json:"source,omitempty"` // what the client calls itself
	Created time.Time   `json:"created"`
	Updated time.Time   `json:"updated"`
	Done    time.Time   `json:"done,omitzero"` // when it became ready or failed

	// Manifest is the SHA-256 of the blob that holds its Manifest as JSON, "" before it is ready.
	Manifest string `json:"manifest,omitempty"`

	Review     Review    `json:"review,omitempty"`
	Reviewer   string    `json:"reviewer,omitempty"` // name of the token that approved or rejected it
	ReviewedAt time.Time `json:"reviewed_at,omitzero"`
	// Baseline is the deploy that was approved when this one was held: it runs with what both may do. "": nothing.
	Baseline string `json:"baseline,omitempty"`
}

// Manifest is what a deploy consists of. It never changes.
type Manifest struct {
	Files     map[string]DeployFile     `json:"files"`              // by path, without a slash in front
	Functions map[string]DeployFunction `json:"functions"`          // by name
	Config    string                    `json:"config,omitempty"`   // its netlify.toml, "" for none
	Policy    string                    `json:"policy,omitempty"`   // its weir.toml, "" for none
	Warnings  []string                  `json:"warnings,omitempty"` // for the author, one line each
	// Policies is the SHA-256 of the blob with the policies of all functions, by name, as they were judged: cut by
	// the ceiling of that time.
	Policies string `json:"policies,omitempty"`
}

// DeployFile is a static file. Its content is a blob.
type DeployFile struct {
	SHA1   string `json:"sha1"` // by which Netlify's clients know it
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// DeployFunction is a function as it was uploaded: a zip archive, which is a blob.
type DeployFunction struct {
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
	Runtime string `json:"runtime,omitempty"` // as the client says: "js", "nodejs22.x"
	Fault   string `json:"fault,omitempty"`   // why it can't be served; the others can
	Config  FunctionConfig
}
