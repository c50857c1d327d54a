package gateway

// Answers of the Lambda Invoke API as they come: messages of vnd.amazon.eventstream, which AWS's clients read
// by InvokeWithResponseStream. (Smithy specification, "Amazon Event Stream".)

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// headEnd stands between the head of an HTTP answer, as JSON, and its body (AWS Lambda, "Response streaming").
var headEnd = make([]byte, 8)

// writeEvents answers with a handler's result, as it comes if it is a stream, and with how it ended.
func (i *invoked) writeEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	s := i.res.Stream
	if s == nil {
		payload, thrown := i.whole()
		if thrown == nil {
			i.writeWhole(w, message("PayloadChunk", "application/octet-stream", payload))
		}
		i.writeWhole(w, complete(thrown))
		return
	}
	defer s.Body.Close()
	control := http.NewResponseController(w)
	defer control.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(r.Context(), func() { s.Body.Close() })
	defer stop()
	chunks, deadline := chunkWriter{w}, i.start.Add(i.limits.Timeout+writeGrace)
	i.hurry(control, deadline)
	if _, err := chunks.Write(append(s.Head, headEnd...)); err != nil {
		panic(http.ErrAbortHandler)
	}
	err := i.copyFlushing(chunks, control, s.Body, deadline)
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	var thrown *weir.FunctionError
	if err != nil {
		thrown = i.failure(err)
	}
	i.writeWhole(w, complete(thrown))
}

// chunkWriter writes each piece as a message of its own.
type chunkWriter struct{ to http.ResponseWriter }

func (c chunkWriter) Write(p []byte) (int, error) {
	if _, err := c.to.Write(message("PayloadChunk", "application/octet-stream", p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// complete is the last message: it says how the invocation ended.
func complete(thrown *weir.FunctionError) []byte {
	end := map[string]string{}
	if thrown != nil {
		details, err := json.Marshal(thrown)
		if err != nil {
			panic(err) // texts can always be written
		}
		end = map[string]string{"ErrorCode": thrown.Type, "ErrorDetails": string(details)}
	}
	payload, err := json.Marshal(end)
	if err != nil {
		panic(err)
	}
	return message("InvokeComplete", "application/json", payload)
}

// message makes one message: its length, that of its headers and their checksum, the headers, the payload and
// the checksum of all.
func message(kind, contentType string, payload []byte) []byte {
	var headers []byte
	for _, h := range [][2]string{{":message-type", "event"}, {":event-type", kind}, {":content-type", contentType}} {
		headers = append(append(headers, byte(len(h[0]))), h[0]...)
		headers = append(headers, 7) // the value is a text
		headers = append(binary.BigEndian.AppendUint16(headers, uint16(len(h[1]))), h[1]...)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(headers)+len(payload)+4))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}
