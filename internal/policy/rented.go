// This file exists because a rule for a host is only as narrow as the host: where anyone can rent a
// corner, a rule that allows it allows a thief's corner, too. Lint and learning share this list.

package policy

import "strings"

// rented lists hosts by what strangers can get there; each stands for all below it as well. It is a
// list of common ones and can't be whole: what it misses is told by nothing else.
var rented = []struct {
	what  string
	hosts []string
}{
	{"anyone can rent storage or servers there", []string{
		"amazonaws.com", "amazonaws.com.cn", "awsapprunner.com", "cloudfront.net", "on.aws", "elasticbeanstalk.com", "amplifyapp.com",
		"storage.googleapis.com", "storage.cloud.google.com", "firebasestorage.googleapis.com", "firebaseio.com", "firebasedatabase.app",
		"firebaseapp.com", "web.app", "appspot.com", "cloudfunctions.net", "run.app",
		"windows.net", "azurewebsites.net", "azurestaticapps.net", "azureedge.net", "azurefd.net", "azure-api.net", "cloudapp.net", "cloudapp.azure.com",
		"digitaloceanspaces.com", "ondigitalocean.app", "r2.dev", "r2.cloudflarestorage.com", "backblazeb2.com", "wasabisys.com",
		"linodeobjects.com", "vultrobjects.com", "scw.cloud", "oraclecloud.com", "myqcloud.com", "aliyuncs.com", "supabase.co", "fastly.net", "b-cdn.net",
	}},
	{"anyone can publish a program or a page there", []string{
		"workers.dev", "pages.dev", "netlify.app", "vercel.app", "now.sh", "herokuapp.com", "fly.dev", "onrender.com", "railway.app",
		"deno.dev", "glitch.me", "repl.co", "replit.app", "replit.dev", "codesandbox.io", "csb.app", "stackblitz.io", "val.run", "surge.sh", "koyeb.app",
		"deta.dev", "cyclic.app", "northflank.app", "gitpod.io", "app.github.dev", "github.io", "gitlab.io", "hf.space", "streamlit.app",
		"pythonanywhere.com", "000webhostapp.com", "wixsite.com", "blogspot.com", "script.google.com", "script.googleusercontent.com",
		"sites.google.com", "bubbleapps.io",
	}},
	{"anyone can push or publish there", []string{
		"github.com", "api.github.com", "uploads.github.com", "githubusercontent.com", "gitlab.com", "bitbucket.org", "codeberg.org", "sr.ht", "gitea.com",
		"npmjs.org", "npmjs.com", "pypi.org", "unpkg.com", "jsdelivr.net", "esm.sh", "skypack.dev", "huggingface.co", "docker.io", "ghcr.io", "ipfs.io", "dweb.link",
	}},
	{"anyone can paste text or drop files there", []string{
		"pastebin.com", "paste.ee", "hastebin.com", "ghostbin.com", "rentry.co", "rentry.org", "dpaste.com", "dpaste.org", "ix.io",
		"sprunge.us", "termbin.com", "paste.rs", "controlc.com", "privatebin.net", "justpaste.it", "0bin.net", "bpa.st", "telegra.ph", "pastes.dev",
		"transfer.sh", "file.io", "0x0.st", "catbox.moe", "anonfiles.com", "gofile.io", "tmpfiles.org", "bashupload.com", "temp.sh", "ufile.io", "oshi.at",
		"keep.sh", "wetransfer.com", "sendspace.com", "mediafire.com", "mega.nz", "mega.co.nz", "imgur.com", "jsonblob.com",
		"jsonbin.io", "npoint.io", "jsonstorage.net", "kvdb.io", "textdb.online", "docs.google.com", "drive.google.com", "dropbox.com",
		"dropboxapi.com", "dropboxusercontent.com", "notion.so", "api.notion.com", "airtable.com", "formspree.io",
	}},
	{"it collects whatever is sent to it", []string{
		"webhook.site", "webhook.cool", "requestbin.com", "requestbin.net", "requestbin.cn", "pipedream.net", "pipedream.com", "requestcatcher.com",
		"hookbin.com", "beeceptor.com", "mockbin.org", "mockbin.io", "postb.in", "ptsv2.com", "ptsv3.com", "httpbin.org", "webhookrelay.com", "hookdeck.com",
		"interact.sh", "interactsh.com", "oast.pro", "oast.live", "oast.site", "oast.online", "oast.fun", "oast.me", "burpcollaborator.net",
		"oastify.com", "canarytokens.com", "canarytokens.org", "dnslog.cn", "ceye.io", "dnsbin.zhack.ca", "bxss.me", "requestrepo.com", "smee.io",
		"hooks.zapier.com", "maker.ifttt.com", "ntfy.sh", "pushbullet.com", "mockapi.io", "mocky.io", "iplogger.org", "grabify.link",
	}},
	{"it is a tunnel to anybody's machine", []string{
		"ngrok.io", "ngrok.app", "ngrok.dev", "ngrok-free.app", "ngrok-free.dev", "ngrok.com", "trycloudflare.com", "cfargotunnel.com", "loca.lt", "localtunnel.me",
		"serveo.net", "localhost.run", "lhr.life", "lhr.rocks", "bore.pub", "pinggy.link", "pinggy.io", "pinggy-free.link", "devtunnels.ms", "tunnelmole.net", "telebit.cloud",
		"zrok.io", "packetriot.net", "pagekite.me", "playit.gg", "portmap.io", "localxpose.io", "loclx.io", "expose.dev", "sharedwithexpose.com", "ts.net", "tunnelto.dev",
		"onion.to", "onion.ws", "tor2web.org",
		"duckdns.org", "no-ip.org", "no-ip.com", "ddns.net", "hopto.org", "zapto.org", "sytes.net", "dynu.com", "dynv6.net", "freedns.afraid.org", "mooo.com",
		"nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me",
	}},
	{"anyone can be at the other end of its messages", []string{
		"hooks.slack.com", "discord.com", "discordapp.com", "discord.gg", "api.telegram.org", "t.me", "telegram.org", "webhook.office.com", "chat.googleapis.com",
		"api.pushover.net", "matrix.org", "mastodon.social", "api.twitter.com", "api.x.com", "reddit.com", "steamcommunity.com",
	}},
}

// rentedWhy finds the words of the list by host.
var rentedWhy = func() map[string]string {
	m := map[string]string{}
	for _, group := range rented {
		for _, host := range group.hosts {
			m[host] = group.what
		}
	}
	return m
}()

// Rented says what strangers can get at a host, in words that follow its name ("anyone can rent storage
// or servers there"); "" if it is none of the known ones. host is canonical, or "*." and what a pattern
// names, which is judged by what it stands before.
func Rented(host string) string {
	host = strings.TrimPrefix(host, "*.")
	for host != "" {
		if why, ok := rentedWhy[host]; ok {
			return why
		}
		host = strings.TrimPrefix(suffixOf(host), ".")
	}
	return ""
}
