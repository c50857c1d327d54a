package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// TestRefusedUpload: a client that reads no answer before it has sent all hears why its upload was refused.
func TestRefusedUpload(t *testing.T) {
	w := newWorld(t)
	d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
	if _, _, err := w.Declare(t.Context(), deploys.Author{}, d.ID, deploys.Declaration{Files: map[string]string{"a": aSHA1}}); err != nil {
		t.Fatal(err)
	}
	w.api.Deploys = refusing{w.fake}
	srv := httptest.NewServer(w.api)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 16 << 20
	fmt.Fprintf(conn, "PUT %s/deploys/%s/files/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer developer\r\nContent-Length: %d\r\n\r\n", Prefix, d.ID, size)
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("%v %v", res, err)
	}
}

// refusing are deploys that take no upload, and read nothing of it.
type refusing struct{ *fake }

func (refusing) UploadFile(ctx context.Context, _ deploys.Author, _, _ string, _ io.Reader) error {
	return &weir.Error{Code: weir.Invalid, Message: "the site has too much"}
}
