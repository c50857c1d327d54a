package record

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestInvocationByHand: what is written by hand is what encoding/json writes, whichever fields are set; one that is added
// to the schema must be written, too.
func TestInvocationByHand(t *testing.T) {
	var empty, full Invocation
	cases := []Invocation{empty}
	for i := range reflect.TypeFor[Invocation]().NumField() {
		one := empty
		for _, to := range []*Invocation{&one, &full} {
			switch f := reflect.ValueOf(to).Elem().Field(i); f.Interface().(type) {
			case time.Time:
				f.Set(reflect.ValueOf(noon.Add(123456789)))
			case float64:
				f.SetFloat(1234567.891)
			case bool:
				f.SetBool(true)
			default:
				f.SetString("ü\"\\\x00\u2028\xff")
			}
		}
		cases = append(cases, one)
	}
	for _, c := range append(cases, full) {
		theirs, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var got, want Invocation
		ours := c.AppendJSON(nil)
		if err := json.Unmarshal(ours, &got); err != nil {
			t.Fatalf("%s: %v", ours, err)
		}
		if err := json.Unmarshal(theirs, &want); err != nil || got != want || strings.Count(string(ours), `":`) != strings.Count(string(theirs), `":`) {
			t.Errorf("%s\n%s %v", ours, theirs, err)
		}
	}
}
