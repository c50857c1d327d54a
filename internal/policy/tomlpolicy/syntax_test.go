package tomlpolicy

import "testing"

// What is wrong with TOML itself is told with the likeliest remedy.
func TestSyntax(t *testing.T) {
	const f = "[functions.charge]\n"
	for src, want := range map[string]string{
		f + "http = [\n \"GET https://a/\"\n \"GET https://b/\"\n]\n": "4:2: expected ',' or ']' after array value; put a comma after each item, and ] after the last",
		f + "http = [\n \"GET https://a/\",\n":                        "3:19: array is incomplete; close the list with ]",
		f + "http: []\n":                                              "2:5: expected '=' after key; write KEY = VALUE",
		f + "http = [{ allow: \"GET https://a/\" }]\n":                "2:16: expected '=' after key; write KEY = VALUE",
		f + "http = []]\n":                                            "2:10: expected newline but got U+005D ']'; begin a new line here, or remove it",
		f + "http = [“GET https://a/”]\n":                             "2:9: unexpected character U+00E2 'â' at start of value; write straight quotes: \"",
		f + "timeout = 10s\n":                                         "2:13: strings must be quoted; write texts in quotes",
		f + "env = [A]\n":                                             "2:8: unexpected character U+0041 'A' at start of value; write texts in quotes",
		f + "addons = True\n":                                         "2:10: unexpected character U+0054 'T' at start of value; write true",
		f + "addons = no\n":                                           "2:10: expected keyword \"nan\"; write false",
		f + "read = [\"C:\\srv\"]\n":                                  "2:12: invalid escape character U+0073 's'; write \\\\ for a backslash",
		f + "\"a\\nb\" = 1\n\"a\\nb\" = 1\n":                          "3:1: key a?b is already defined; remove one of the two",
		f + "http = []\n" + f:                                         "3:2: table charge already exists; remove one of the two",
		"// comment\n":                                                "1:1: invalid character at start of key: U+002F '/'; begin comments with #",
		"{\"mode\": 1}":                                               "1:1: invalid character at start of key: U+007B '{'; write TOML, not JSON: KEY = VALUE",
		"[functions.charge\n":                                         "1:18: expected ']' to close table name; write [functions.charge]",
		"[functions.*]\n":                                             "1:12: invalid character at start of key: U+002A '*'; write [functions.\"*\"]" + inQuotes,
		"[functions.a-*.packages.left-pad]\n":                         "1:14: expected ']' to close table name; write [functions.\"a-*\".packages.left-pad]" + inQuotes,
		"[functions.a-*.limits]\n":                                    "1:14: expected ']' to close table name; write [functions.\"a-*\".limits]" + inQuotes,
		"[functions.a.packages.@aws-sdk/s3]\n":                        "1:23: invalid character at start of key: U+0040 '@'; write [functions.a.packages.\"@aws-sdk/s3\"]" + inQuotes,
	} {
		_, err := Parse("weir.toml", []byte(src))
		if err == nil || err.Error() != "weir.toml:"+want {
			t.Errorf("%q:\n got %v\nwant weir.toml:%s", src, err, want)
		}
	}
}

const inQuotes = ": a name with other characters than letters, digits, - and _ stands in quotes"
