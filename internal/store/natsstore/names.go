package natsstore

// Names, keys and subjects: checked here, because NATS gives a meaning to more signs than the contract does, and
// prefixed, so that others on the same cluster are left alone.

import (
	"fmt"
	"regexp"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

const (
	chunksName     = "weir-blobs" // of the stream with the blobs' chunks
	chunksSubject  = "weir.blobs."
	streamPrefix   = "weir-stream-"
	subjectPrefix  = "weir.stream."
	bucketPrefix   = "weir-"
	bucketStream   = "KV_" + bucketPrefix // how NATS names the stream of a bucket, and its subjects
	bucketSubjects = "$KV." + bucketPrefix
)

var (
	validName   = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)
	validKey    = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	validFilter = regexp.MustCompile(`^(([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?|>)$`)
)

func checkName(kind, name string) error {
	return check(validName, kind, name, "letters and digits")
}

func checkKey(key string) error {
	return check(validKey, "key", key, "letters, digits, - and _, in parts joined by dots")
}

func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return checkKey(prefix)
}

func checkFilter(filter string) error {
	if filter == "" {
		return nil
	}
	return check(validFilter, "filter", filter, "a subject in which * may stand for a part, and > for what follows")
}

func check(valid *regexp.Regexp, kind, text, want string) error {
	if len(text) <= store.MaxKey && valid.MatchString(text) {
		return nil
	}
	return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("%q is no %s: that is %s, in at most %d bytes", weir.Cut(text, 80), kind, want, store.MaxKey)}
}

// checkSize holds a value or message to its bound.
func checkSize(of string, data []byte, most int) error {
	if len(data) > most {
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("%s would have %d bytes, and at most %d fit", of, len(data), most)}
	}
	return nil
}
