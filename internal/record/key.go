package record

// The key that a server signs its records with. It is made once and lies in the state directory: what
// it proves is that records were not changed by somebody who could not read that.

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weir-run/weir/internal/weir"
)

// The key's files in the state directory.
const (
	keyFile    = "records.key" // PKCS #8 in PEM, for its owner only
	pubKeyFile = "records.pub" // the public half, in PEM: what verify needs
)

// signedAs is what comes before the bytes of a checkpoint in what is signed, so that a signature can't
// stand for anything else.
const signedAs = "weir records checkpoint 2\n"

// sigLen is the length of a signature as written: 64 bytes in base64.
const sigLen = 88

// Key signs checkpoints.
type Key struct {
	private ed25519.PrivateKey
	public  PublicKey
}

// PublicKey checks them.
type PublicKey struct {
	key ed25519.PublicKey
	id  string
}

// ID is the key's fingerprint: SHA-256 of the public key in DER, in lower-case hex, as
// `openssl pkey -pubin -in records.pub -outform DER | sha256sum` gives it.
func (k PublicKey) ID() string { return k.id }

// Public gives the public half.
func (k *Key) Public() PublicKey { return k.public }

func (k *Key) sign(line []byte) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, append([]byte(signedAs), line...)))
}

// signed tells whether sig is this key's signature of a line. Only one text stands for a signature.
func (k PublicKey) signed(line []byte, sig string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(sig)
	return err == nil && base64.StdEncoding.EncodeToString(b) == sig &&
		ed25519.Verify(k.key, append([]byte(signedAs), line...), b)
}

func newPublicKey(key ed25519.PublicKey) (PublicKey, []byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	sum := sha256.Sum256(der)
	return PublicKey{key, hex.EncodeToString(sum[:])}, der, err
}

// LoadKey gives the key of a state directory, and makes both if they aren't there. Two servers that do
// so at once get the same key. A key that others could have read is an error of code weir.Invalid.
func LoadKey(stateDir string) (*Key, error) {
	path := filepath.Join(stateDir, keyFile)
	err := os.MkdirAll(stateDir, 0o755)
	if err == nil {
		if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			err = makeKey(path)
		}
	}
	var k *Key
	if err == nil {
		k, err = readKey(path)
	}
	if err == nil {
		err = k.publish(filepath.Join(stateDir, pubKeyFile))
	}
	if err != nil {
		remedy := "the file must hold an Ed25519 key, for its owner only (chmod 600); without the file a new key is made"
		if errors.Is(err, fs.ErrPermission) {
			remedy = "set WEIR_STATE_DIR to a folder that this user may write to"
		}
		return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: "no key to sign records with", Err: err, Remedy: remedy}
	}
	return k, nil
}

// makeKey makes a key file, whole or not at all, unless another process is faster.
func makeKey(path string) error {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return place(path, "PRIVATE KEY", der, 0o600, os.Link)
}

// place writes a PEM file beside path and puts it there with put (os.Link: unless there is one,
// os.Rename: in place of it).
func place(path, typ string, der []byte, mode fs.FileMode, put func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = pem.Encode(f, &pem.Block{Type: typ, Bytes: der})
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = put(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func readKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read it (%v)", info.Mode().Perm())
	}
	der, err := decodePEM(f.Name(), "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("not an Ed25519 key")
	}
	public, _, err := newPublicKey(private.Public().(ed25519.PublicKey))
	return &Key{private, public}, err
}

// publish writes the public half, if it isn't there.
func (k *Key) publish(path string) error {
	if old, err := ReadPublicKey(path); err == nil && old.id == k.public.id {
		return nil
	}
	_, der, err := newPublicKey(k.public.key)
	if err != nil {
		return err
	}
	return place(path, "PUBLIC KEY", der, 0o644, os.Rename)
}

// ReadPublicKey reads the public half of a server's key from a PEM file, usually records.pub. Errors
// are of code weir.Invalid.
func ReadPublicKey(path string) (PublicKey, error) {
	der, err := decodePEM(path, "PUBLIC KEY")
	var parsed any
	if err == nil {
		parsed, err = x509.ParsePKIXPublicKey(der)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if err == nil && !ok {
		err = errors.New("not an Ed25519 key")
	}
	var k PublicKey
	if err == nil {
		k, _, err = newPublicKey(key)
	}
	if err != nil {
		return PublicKey{}, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: "no public key of a server", Err: err,
			Remedy: "take records.pub from the state directory of the server that wrote the records, and name it with --key"}
	}
	return k, nil
}

func decodePEM(path, typ string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != typ {
		return nil, fmt.Errorf("no %s in PEM", typ)
	}
	return block.Bytes, nil
}

// StateKey is where the public key of a state directory lies.
func StateKey(stateDir string) string { return filepath.Join(stateDir, pubKeyFile) }
