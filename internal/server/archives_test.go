package server

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// TestArchivesOfADeploy: a bootstrap file brings its function's policy, which knows where it is deployed; one archive
// that holds no function is nobody else's fault; and functions are told where they are deployed.
func TestArchivesOfADeploy(t *testing.T) {
	p := newPlatform(t)
	site := p.site("shop")
	d := p.deploy(site, owner, content{functions: map[string]string{
		"boot": `-- boot.js --
module.exports = require('./functions/boot/boot.js')
-- functions/boot/boot.js --
const IntrinsicLambda = require('@intrinsic/lambda');
module.exports = new IntrinsicLambda()
  .configurePolicies(p => { p.outboundHttp.allowGet('http://' + process.env.CONTEXT + '.test/'); })
  .setHandlerFile(__dirname + '/handler.js').run();
-- functions/boot/handler.js --
exports.handler = async () => ({ statusCode: 200, body: 'walled' });
`,
		"wrong": "-- other.js --\n",
		"told": `-- ___netlify-entry-point.mjs --
import { getLambdaHandler } from './___netlify-bootstrap.mjs'; export const handler = getLambdaHandler('./told.mjs')
-- ___netlify-bootstrap.mjs --
export const getLambdaHandler = () => awslambda.streamifyResponse(async (event, out) => {
  const { 'x-nf-branch': branch, 'x-nf-deploy-context': context, 'x-nf-deploy-published': published } = event.headers;
  awslambda.HttpResponseStream.from(out, { statusCode: 200 }).end([branch, context, published].join(' '));
});
-- told.mjs --
export default () => {}; export const config = { path: '/told' };
`,
	}}, deploys.BeginOptions{Alias: "next"})
	host := "next--shop.localhost"
	waitFor(t, func() bool { status, _ := p.get(host, "/told"); return status != 404 })
	if _, body := p.get(host, "/.netlify/functions/boot"); body != "walled" {
		t.Errorf("%s", body)
	}
	policies, err := p.deploys.Policies(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if boot := policies["boot"]; !boot.Intrinsic || len(boot.Rules) != 1 || boot.Rules[0].Pattern != "GET http://"+weir.ContextBranch+".test/" {
		t.Errorf("%+v", policies["boot"])
	}
	if status, body := p.get(host, "/.netlify/functions/wrong"); status != 502 || !strings.Contains(body, "holds no wrong.js") {
		t.Errorf("%d %s", status, body)
	}
	if _, body := p.get(host, "/told"); body != "next branch-deploy 0" {
		t.Errorf("%s", body)
	}
}
