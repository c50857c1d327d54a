package runtime

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// BenchmarkInvoke measures one invocation of a trivial handler through the channel, without walls.
func BenchmarkInvoke(b *testing.B) {
	p, err := start(b, `exports.handler = async () => ({ statusCode: 200, body: 'hello' });`)
	if err != nil {
		b.Fatal(err)
	}
	event := json.RawMessage(`{"rawUrl":"http://localhost/.netlify/functions/hello","rawQuery":"","path":"/.netlify/functions/hello","httpMethod":"GET","headers":{"host":"localhost"},"body":null,"isBase64Encoded":false}`)
	for b.Loop() {
		if _, err := p.Invoke(weir.Invocation{ID: "id", Function: "fn", Event: event}, time.Now().Add(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
}
