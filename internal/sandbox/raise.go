package sandbox

// The conversation with the first process, from its configuration to its becoming the program.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
)

// raise configures the first process and follows it until it has become the program (or, as a
// probe, has tried everything). What it hands over goes to got, on an error too. An error is a
// *walls.Failure when a wall couldn't be raised.
func (f *first) raise(ctx context.Context, cfg *walls.Config, got *received) (*walls.Report, error) {
	keep := cfg.Slots > 0 && !cfg.Probe // the first process stays, as the gate of a zygote
	if !keep {
		defer f.ctl.Close()
	}
	stop := context.AfterFunc(ctx, func() { f.ctl.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := f.ctl.SyscallConn()
	if err != nil {
		return nil, err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = walls.Send(int(fd), cfg) }); err != nil {
		return nil, err
	}
	// A failure to send means that the process is gone; reading says more about it.
	last, err := f.reports(cfg.Probe, keep, got)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the walls were not raised in time: %w", context.Cause(ctx))
	}
	return last, errors.Join(err, sent)
}

// reports reads until the control socket closes, or, to keep it, until every wall stands. It gives the
// report that said that.
func (f *first) reports(probe, keep bool, got *received) (*walls.Report, error) {
	var last *walls.Report
	b := make([]byte, 64<<10)
	oob := make([]byte, unix.CmsgSpace(4*walls.MaxFDs))
	for {
		n, on, flags, _, err := f.ctl.ReadMsgUnix(b, oob)
		fds := descriptors(oob[:on])
		switch {
		case errors.Is(err, io.EOF) || err == nil && n == 0:
			if last == nil {
				return nil, errors.New("the sandbox's first process ended before the walls stood")
			}
			return last, nil
		case err != nil:
			closeAll(fds)
			return nil, err
		case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
			closeAll(fds)
			return nil, errors.New("a message of the sandbox's first process was cut short")
		}
		r, err := walls.ParseReport(b[:n], len(fds))
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		for i, kind := range r.FDs {
			if err := got.add(kind, fds[i]); err != nil {
				closeAll(fds[i+1:])
				return nil, err
			}
		}
		switch {
		case r.Done:
			if keep {
				return r, nil
			}
			last = r
			if got.records != nil && !probe {
				end, err := admit(f.ctl, got.records)
				if err != nil {
					return nil, err
				}
				defer func() { got.early = end() }()
			}
		case len(r.Failures) > 0:
			return nil, &r.Failures[0]
		}
	}
}

// descriptors gives those that a control message brought.
func descriptors(oob []byte) []int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var all []int
	for i := range msgs {
		if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
