package wire

// Accounts, users and sites, in Netlify's shapes.

import "time"

// Account is the organisation of a server. There is one.
type Account struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Slug         string   `json:"slug"`
	Type         string   `json:"type"`
	TypeName     string   `json:"type_name"`
	RolesAllowed []string `json:"roles_allowed"`
}

// User is who calls: the token stands for its holder.
type User struct {
	ID        string `json:"id"`
	UID       string `json:"uid"`
	FullName  string `json:"full_name"` // the token's name
	Email     string `json:"email"`
	SiteCount int    `json:"site_count"`
}

// Site is a site.
type Site struct {
	ID              string        `json:"id"`
	Name            string        `json:"name"`
	State           string        `json:"state"`
	CustomDomain    string        `json:"custom_domain"` // the primary one of its other host names
	DomainAliases   []string      `json:"domain_aliases"`
	URL             string        `json:"url"`
	SSLURL          string        `json:"ssl_url"` // the same as URL, whatever its scheme: clients show this one
	AdminURL        string        `json:"admin_url"`
	DeployURL       string        `json:"deploy_url"`
	DeployID        string        `json:"deploy_id"`
	AccountID       string        `json:"account_id"`
	AccountSlug     string        `json:"account_slug"`
	AccountName     string        `json:"account_name"`
	UserID          string        `json:"user_id"`
	UseEnvelope     bool          `json:"use_envelope"` // variables are those of /accounts/…/env
	BuildSettings   BuildSettings `json:"build_settings"`
	PublishedDeploy *Deploy       `json:"published_deploy"` // null in lists of several sites
	Locked          bool          `json:"locked"`           // new deploys are not published by themselves
	CreatedAt       time.Time     `json:"created_at"`
	UpdatedAt       time.Time     `json:"updated_at"`
}

// BuildSettings are those of a site that is built from a repository. None is yet.
type BuildSettings struct {
	RepoURL string `json:"repo_url,omitempty"`
}

// NewSite asks for a site.
type NewSite struct {
	Name string `json:"name,omitempty"` // "": one is made up
}

// SiteChange changes a site; what is nil stays.
type SiteChange struct {
	Name          *string   `json:"name,omitempty"`
	CustomDomain  *string   `json:"custom_domain,omitempty"`  // the primary one; "" for none
	DomainAliases *[]string `json:"domain_aliases,omitempty"` // the others
	Locked        *bool     `json:"locked,omitempty"`
}
