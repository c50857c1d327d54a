// This file exists because a thief's host is often named after one that is trusted: to a tired reader
// of a policy the two are the same.

package policy

import (
	"net/netip"
	"strings"
)

// wellKnown are hosts of APIs that many functions call by a package that knows the name. Nobody but
// their owners answers there.
var wellKnown = []string{
	"api.stripe.com", "files.stripe.com", "api.paypal.com", "api-m.paypal.com", "api.braintreegateway.com", "connect.squareup.com", "api.adyen.com",
	"api.openai.com", "api.anthropic.com", "api.mistral.ai", "api.cohere.ai", "generativelanguage.googleapis.com",
	"api.sendgrid.com", "api.mailgun.net", "api.postmarkapp.com", "api.resend.com", "api.mailchimp.com", "mandrillapp.com", "api.brevo.com",
	"api.twilio.com", "api.nexmo.com", "rest.messagebird.com", "api.plivo.com", "slack.com", "graph.microsoft.com", "login.microsoftonline.com",
	"oauth2.googleapis.com", "www.googleapis.com", "accounts.google.com", "maps.googleapis.com", "fcm.googleapis.com", "identitytoolkit.googleapis.com",
	"api.hubapi.com", "api.intercom.io", "api.zendesk.com", "api.segment.io", "api.mixpanel.com", "api2.amplitude.com",
	"api.contentful.com", "cdn.contentful.com", "api.sanity.io", "api.cloudinary.com", "api.algolia.com", "api.cloudflare.com", "api.fauna.com", "db.fauna.com",
	"api.linear.app", "api.clerk.com", "api.auth0.com", "api.workos.com", "api.datadoghq.com", "ingest.sentry.io", "sentry.io", "api.netlify.com",
	"api.paddle.com", "api.lemonsqueezy.com", "api.shippo.com", "api.easypost.com", "api.openweathermap.org", "graph.facebook.com", "api.linkedin.com",
}

// WellKnown tells whether host is one of the APIs that packages call by a name of their own.
func WellKnown(host string) bool {
	for _, k := range wellKnown {
		if host == k {
			return true
		}
	}
	return false
}

// LookAlike gives the host of trusted, or else of the well-known APIs, that host could be taken for,
// and "" if there is none: the same name under another ending, with another letter or two, with
// letters that look alike, with hyphens for dots, or with the trusted name in front. Hosts of one owner
// (equal in their last labels) are never look-alikes of each other, nor are addresses.
func LookAlike(host string, trusted []string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	for _, list := range [...][]string{trusted, wellKnown} {
		for _, t := range list {
			if host == t || owner(host) == owner(t) {
				return ""
			}
		}
	}
	for _, list := range [...][]string{trusted, wellKnown} {
		for _, t := range list {
			if looksLike(host, t) {
				return t
			}
		}
	}
	return ""
}

func looksLike(host, trusted string) bool {
	if _, err := netip.ParseAddr(trusted); err == nil || !strings.Contains(trusted, ".") {
		return false
	}
	dashed := strings.ReplaceAll(trusted, ".", "-")
	if strings.HasPrefix(host, trusted+".") || strings.Contains(host, "."+trusted+".") || strings.Contains(host, dashed) {
		return true
	}
	mine, its := ownName(host), ownName(trusted)
	if len(its) < 5 {
		return strings.HasPrefix(host, strings.TrimSuffix(dashed, "-"+lastLabel(trusted))+".") // api-pay.test for api.pay.com
	}
	far := 1
	if len(its) >= 9 {
		far = 2
	}
	return mine == its || skeleton(mine) == skeleton(its) || distance(mine, its) <= far ||
		strings.Contains(host, strings.TrimSuffix(dashed, "-"+lastLabel(trusted))+".")
}

// owner gives the part of a host that somebody registered: its last two labels, three below endings
// such as co.uk.
func owner(host string) string {
	labels := strings.Split(host, ".")
	n := 2
	if len(labels) > 2 && len(labels[len(labels)-1]) == 2 {
		switch labels[len(labels)-2] {
		case "co", "com", "org", "net", "ac", "gov", "edu", "ne", "or":
			n = 3
		}
	}
	return strings.Join(labels[max(0, len(labels)-n):], ".")
}

// ownName gives the label that its owner chose: "stripe" of api.stripe.com.
func ownName(host string) string {
	name, _, _ := strings.Cut(owner(host), ".")
	return name
}

func lastLabel(host string) string { return host[strings.LastIndexByte(host, '.')+1:] }

var skeletons = strings.NewReplacer("-", "", "_", "", "rn", "m", "vv", "w", "cl", "d", "0", "o", "1", "l", "i", "l", "5", "s", "3", "e", "8", "b")

// skeleton makes names equal that look alike.
func skeleton(name string) string { return skeletons.Replace(name) }
