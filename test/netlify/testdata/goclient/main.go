// Command goclient deploys a folder by Netlify's own Go client: goclient SERVER SITE DIR FUNCTIONS; the token is
// $NETLIFY_AUTH_TOKEN. It prints the deploy's URL. It is a module of its own, since nothing of Weir needs that client.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"github.com/go-openapi/runtime"
	openapi "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"

	"github.com/netlify/open-api/v2/go/porcelain"
	netlify "github.com/netlify/open-api/v2/go/porcelain/context"
)

func main() {
	if err := deploy(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func deploy(server, site, dir, functions string) error {
	u, err := url.Parse(server)
	if err != nil {
		return err
	}
	transport := openapi.New(u.Host, "/api/v1", []string{u.Scheme})
	ctx := netlify.WithAuthInfo(context.Background(), runtime.ClientAuthInfoWriterFunc(func(r runtime.ClientRequest, _ strfmt.Registry) error {
		return r.SetHeaderParam("Authorization", "Bearer "+os.Getenv("NETLIFY_AUTH_TOKEN"))
	}))
	client := porcelain.NewRetryable(transport, strfmt.Default, 1)
	d, err := client.DeploySite(ctx, porcelain.DeployOptions{SiteID: site, Dir: dir, FunctionsDir: functions})
	if err != nil {
		return err
	}
	ready, err := client.WaitUntilDeployReady(ctx, d)
	if err != nil {
		return err
	}
	fmt.Println(ready.DeploySslURL)
	return nil
}
