package load

// As much of HTTP/1.1 (RFC 9112) as tells where an answer ends.

import (
	"bytes"
	"fmt"
	"strconv"
)

type answer struct {
	status int
	body   string // of a chunked answer with the chunks' frames
}

// parse gives the answer that b holds, and whether it is whole. Its length must be stated or it must be chunked.
func parse(b []byte) (a answer, whole bool, err error) {
	head, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return answer{}, false, nil
	}
	lines := bytes.Split(head, []byte("\r\n"))
	if len(lines[0]) < 12 || !bytes.HasPrefix(lines[0], []byte("HTTP/1.1 ")) {
		return answer{}, false, fmt.Errorf("an answer begins %.40q", lines[0])
	}
	if a.status, err = strconv.Atoi(string(lines[0][9:12])); err != nil {
		return answer{}, false, fmt.Errorf("an answer begins %.40q", lines[0])
	}
	length := -1
	for _, line := range lines[1:] {
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return answer{}, false, fmt.Errorf("an answer's length is %.40q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")) && bytes.EqualFold(value, []byte("chunked")):
			a.body = string(body)
			return a, bytes.Equal(body, []byte("0\r\n\r\n")) || bytes.HasSuffix(body, []byte("\r\n0\r\n\r\n")), nil
		}
	}
	if length < 0 {
		return answer{}, false, fmt.Errorf("an answer has neither a length nor chunks: %.200q", head)
	}
	a.body = string(body)
	return a, len(body) >= length, nil
}
