package policy

import "testing"

func TestLookAlike(t *testing.T) {
	trusted := []string{"api.pay.test", "api.weather.test", "shop.example.co.uk"}
	for host, want := range map[string]string{
		"api.pay.test.evil.test": "api.pay.test",
		"api-pay.test":           "api.pay.test",
		"api.weathar.test":       "api.weather.test",
		"api.weather.dev":        "api.weather.test",
		"api.vveather.test":      "api.weather.test",
		"shop.exampel.co.uk":     "shop.example.co.uk",
		"api.str1pe.com":         "api.stripe.com",
		"api-stripe.com":         "api.stripe.com",
		"api.stripe.com.co":      "api.stripe.com",
		"api.stripe.co":          "api.stripe.com",
		"stripe-api.dev":         "",
		"api.pay.test":           "",
		"files.pay.test":         "",
		"dashboard.stripe.com":   "",
		"drop.evil.test":         "",
		"api.openweathermap.org": "",
		"203.0.113.9":            "",
		"localhost":              "",
	} {
		if got := LookAlike(host, trusted); got != want {
			t.Errorf("%s: looks like %q, want %q", host, got, want)
		}
	}
}
