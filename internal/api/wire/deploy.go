package wire

// Deploys, in Netlify's shapes, with what Weir adds under the name "weir".

import "time"

// Deploy is a deploy.
type Deploy struct {
	ID                 string       `json:"id"`
	SiteID             string       `json:"site_id"`
	UserID             string       `json:"user_id"`
	State              string       `json:"state"`
	Name               string       `json:"name"` // of the site
	URL                string       `json:"url"`  // of the site
	SSLURL             string       `json:"ssl_url"`
	DeployURL          string       `json:"deploy_url"` // its own
	DeploySSLURL       string       `json:"deploy_ssl_url"`
	AdminURL           string       `json:"admin_url"`
	Draft              bool         `json:"draft"`
	Required           []string     `json:"required"`           // SHA-1 of the files that are missing
	RequiredFunctions  []string     `json:"required_functions"` // SHA-256 of the archives that are missing
	ErrorMessage       string       `json:"error_message"`
	Branch             string       `json:"branch"` // the alias
	Title              string       `json:"title"`
	Context            string       `json:"context"`
	Locked             bool         `json:"locked"` // it is published, and new ones are not published by themselves
	AvailableFunctions []Function   `json:"available_functions"`
	DeploySource       string       `json:"deploy_source,omitempty"`
	CreatedAt          time.Time    `json:"created_at"`
	UpdatedAt          time.Time    `json:"updated_at"`
	PublishedAt        *time.Time   `json:"published_at"` // null unless it is what the site serves
	Weir               DeployReview `json:"weir"`
}

// DeployReview is what Netlify has no word for.
type DeployReview struct {
	Review     string     `json:"review,omitempty"`   // "held", "approved", "rejected"
	Reviewer   string     `json:"reviewer,omitempty"` // name of the token
	ReviewedAt *time.Time `json:"reviewed_at,omitempty"`
	Baseline   string     `json:"baseline,omitempty"` // the deploy whose privileges a held one is cut to
	Author     string     `json:"author,omitempty"`   // name of the token
	Published  bool       `json:"published"`          // it is what the site serves
	Warnings   []string   `json:"warnings,omitempty"` // for its author
}

// Function is a function of a deploy.
type Function struct {
	Name     string `json:"n"`           // as netlify functions:list reads it
	SHA256   string `json:"d,omitempty"` // of its archive
	Runtime  string `json:"r,omitempty"`
	Schedule string `json:"schedule,omitempty"`
	Fault    string `json:"fault,omitempty"` // why it can't be served
}

// File is a static file of a deploy.
type File struct {
	ID   string `json:"id"`   // as Path
	Path string `json:"path"` // with a slash in front
	SHA  string `json:"sha"`  // SHA-1
	Size int64  `json:"size"` // bytes
}

// FunctionList is the functions of a site.
type FunctionList struct {
	Functions []Function `json:"functions"`
}

// NewDeploy begins a deploy; with Files or Functions it declares them, too.
type NewDeploy struct {
	Draft  *bool  `json:"draft,omitempty"`
	Branch string `json:"branch,omitempty"` // the alias
	Title  string `json:"title,omitempty"`
	Source string `json:"deploy_source,omitempty"`
	Declaration
}

// Declaration names all that a deploy consists of.
type Declaration struct {
	Files             map[string]string         `json:"files,omitempty"`     // SHA-1 by path
	Functions         map[string]string         `json:"functions,omitempty"` // SHA-256 of the archive by name
	FunctionSchedules []FunctionSchedule        `json:"function_schedules,omitempty"`
	FunctionsConfig   map[string]FunctionConfig `json:"functions_config,omitempty"`
	Environment       []DeployVariable          `json:"environment,omitempty"`
	Async             bool                      `json:"async,omitempty"` // what is missing is asked for later
}

// FunctionSchedule is when a function runs by itself.
type FunctionSchedule struct {
	Name string `json:"name"`
	Cron string `json:"cron"`
}

// FunctionConfig is what the source of a function says of it.
type FunctionConfig struct {
	Routes         []Route       `json:"routes,omitempty"`
	ExcludedRoutes []Route       `json:"excluded_routes,omitempty"`
	TrafficRules   *TrafficRules `json:"traffic_rules,omitempty"`
}

// Route is a path that a function answers for.
type Route struct {
	Pattern      string   `json:"pattern"`
	Methods      []string `json:"methods,omitempty"`
	PreferStatic bool     `json:"prefer_static,omitempty"`
}

// TrafficRules bound how often a function is called.
type TrafficRules struct {
	Action struct {
		Type   string `json:"type"`
		Config struct {
			RateLimit struct {
				Window int `json:"window_size"`
				Limit  int `json:"window_limit"`
			} `json:"rate_limit_config"`
			Aggregate struct {
				Keys []struct {
					Type string `json:"type"`
				} `json:"keys"`
			} `json:"aggregate"`
			To string `json:"to,omitempty"`
		} `json:"config"`
	} `json:"action"`
}

// DeployVariable is a variable of one deploy.
type DeployVariable struct {
	Key    string   `json:"key"`
	Value  string   `json:"value"`
	Secret bool     `json:"is_secret"`
	Scopes []string `json:"scopes"`
}

// Uploaded is what was taken.
type Uploaded struct {
	ID   string `json:"id"` // the path of the file or the name of the function
	Path string `json:"path"`
	SHA  string `json:"sha,omitempty"`
}
