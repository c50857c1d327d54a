package server

// What a server does whose disk is full.

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// smallDisk gives a folder on a file system with so much room, as mount(8) has it.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-full-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+size); errors.Is(err, syscall.EPERM) {
		t.Skip("only root can make a small disk")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// noise is content that can't be compressed.
func noise(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), size) }

// upload declares one file of noise and uploads it.
func (p *platform) upload(site weir.Site, size int64) (weir.Deploy, error) {
	p.t.Helper()
	sum := sha1.New()
	io.Copy(sum, noise(size))
	d, err := p.deploys.Begin(p.t.Context(), owner, site.ID, deploys.BeginOptions{})
	if err == nil {
		_, _, err = p.deploys.Declare(p.t.Context(), owner, d.ID, deploys.Declaration{Files: map[string]string{"big": hex.EncodeToString(sum.Sum(nil))}})
	}
	if err == nil {
		err = p.deploys.UploadFile(p.t.Context(), owner, d.ID, "big", noise(size))
	}
	return d, err
}

// TestFullDisk: what doesn't fit is refused with the reason, and what is there is served; and what there is no room
// for a copy of is said to be so, until there is. Then all goes on, without anybody's doing.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "96m")
	p := newPlatform(t, func(o *ServeOptions) { o.StateDir = dir })
	site := p.site("shop")
	d := p.deploy(site, owner, content{files: map[string]string{"index.html": "the page", "later.html": "later"}}, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	if status, body := p.get("shop.localhost", "/"); status != 200 {
		t.Fatal(status, body)
	}
	_, err := p.upload(site, 90<<20)
	if weir.ErrorCode(err) != weir.Unavailable || !strings.Contains(err.Error(), "the store is full") {
		t.Errorf("more than fits: %v", err)
	}
	if status, body := p.get("shop.localhost", "/"); status != 200 || body != "the page" {
		t.Errorf("after that: %d %s", status, body)
	}

	rest, err := os.Create(dir + "/rest") // of the disk, to the last byte
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(rest, noise(1<<30))
	rest.Close()
	if status, body := p.get("shop.localhost", "/"); status != 200 || body != "the page" {
		t.Errorf("with a full disk: %d %s", status, body)
	}
	if status, body := p.get("shop.localhost", "/later"); status != 503 {
		t.Errorf("a file that there is no room for: %d %s", status, body)
	}
	made, err := 0, error(nil) // small records still fit into the last pages
	for ; err == nil && made < 1000; made++ {
		_, err = p.deploys.CreateSite(t.Context(), owner, fmt.Sprintf("more%d", made))
	}
	if weir.ErrorCode(err) != weir.Unavailable {
		t.Errorf("%d sites were made with no room for their records: %v", made, err)
	}
	if status, body := p.get("shop.localhost", "/"); status != 200 || body != "the page" {
		t.Errorf("after the store has found no room: %d %s", status, body)
	}

	if err := os.Remove(rest.Name()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // the store finds that out by itself
		_, err := p.deploys.CreateSite(t.Context(), owner, "again")
		return err == nil
	})
	if all, err := p.deploys.Sites(t.Context()); err != nil || len(all) <= made {
		t.Errorf("of %d sites that were made there are %d: %v", made, len(all), err)
	}
	if status, body := p.get("shop.localhost", "/later"); status != 200 || body != "later" {
		t.Errorf("when there is room again: %d %s", status, body)
	}
	d = p.deploy(site, owner, content{files: map[string]string{"index.html": "the next page"}}, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	if status, body := p.get("shop.localhost", "/"); status != 200 || body != "the next page" {
		t.Errorf("what is published then: %d %s", status, body)
	}
}
