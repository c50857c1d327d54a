package egress

// This file exists because a rule may be bounded in amount, and so may what bounds the policy: they say by how much,
// and what has been used is counted here, where the calls go out.

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/policy"
)

// meter counts what is used of one budget, by one invocation or by all instances of a function.
type meter struct {
	policy.Charge
	now func() time.Time

	mu    sync.Mutex
	calls int
	bytes int64
	began time.Time // of the minute that is counted
}

// renew begins another minute if the last one is over. The caller holds the lock.
func (m *meter) renew() {
	if now := m.now(); m.Budget.Per == policy.PerMinute && now.Sub(m.began) >= time.Minute {
		m.calls, m.bytes, m.began = 0, 0, now
	}
}

// call counts a call with a body of so many bytes, as far as that is known; false if it is one too many
// or would be too long.
func (m *meter) call(length int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renew()
	b := m.Budget
	if b.MaxCalls > 0 && m.calls >= b.MaxCalls || b.MaxBytes > 0 && (m.bytes >= b.MaxBytes || length > b.MaxBytes-m.bytes) {
		return false
	}
	m.calls++
	return true
}

// uncall takes back what call has counted.
func (m *meter) uncall() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls--
}

// take counts bytes; false if they are too many, and then they are not counted.
func (m *meter) take(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renew()
	if m.Budget.MaxBytes > 0 && int64(n) > m.Budget.MaxBytes-m.bytes {
		return false
	}
	m.bytes += int64(n)
	return true
}

// meters are those of several budgets.
type meters struct {
	mu sync.Mutex
	by map[policy.Charge]*meter
}

func (m *meters) of(c policy.Charge) *meter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by = map[policy.Charge]*meter{}
	}
	found := m.by[c]
	if found == nil {
		found = &meter{Charge: c, now: time.Now}
		m.by[c] = found
	}
	return found
}

// shares are what each invocation in flight may use, or, if there are none, those before. The zero value is that
// of the import.
type shares struct {
	mu   sync.Mutex
	ids  []string
	used map[string]*meters // by id, of those that have used any
	idle bool               // none is in flight
}

// set names the invocations in flight. Calls that are still under way count on what they began with.
func (s *shares) set(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(ids) == 0 {
		s.idle = true
		return
	}
	for id := range s.used {
		if s.idle || !slices.Contains(ids, id) {
			delete(s.used, id)
		}
	}
	s.ids, s.idle = ids, false
}

// of gives what counts a call on a budget.
func (s *shares) of(c policy.Charge) []*meter {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := s.ids
	if ids == nil {
		ids = []string{""}
	}
	var out []*meter
	for _, id := range ids {
		m := s.used[id]
		if m == nil {
			if s.used == nil {
				s.used = map[string]*meters{}
			}
			m = &meters{}
			s.used[id] = m
		}
		out = append(out, m.of(c))
	}
	return out
}

// account is that of one call with the budgets of the rules that allowed it: the policy's own, and those of its
// bounds. A nil account has no budget.
type account struct {
	conn   *conn
	req    *policy.Request
	rule   int      // of the policy, which allowed the call
	meters []*meter // each must have room
	once   sync.Once
	cut    atomic.Pointer[meter] // for which the call was cut short; nil if it was not
}

// over is what becomes of the call when the budget of a meter is used up.
func (a *account) over(m *meter) policy.Decision {
	return policy.Decision{Rule: -1, Nearest: a.rule, Reason: policy.OverBudget, Bound: m.Bound}
}

// call counts the call. If it is one too many for a meter, it gives that one, and the call counts for none.
func (a *account) call(length int64) (full *meter) {
	for i, m := range a.meters {
		if m.call(length) {
			continue
		}
		for _, counted := range a.meters[:i] {
			counted.uncall()
		}
		return m
	}
	return nil
}

// take counts bytes, and gives a meter for which they are too many.
func (a *account) take(n int) (full *meter) {
	for _, m := range a.meters {
		if !m.take(n) {
			return m
		}
	}
	return nil
}

// charge opens the account of a call that is allowed, and counts the call. If that is one too many, the
// decision becomes a denial.
func (c *conn) charge(req *policy.Request, length int64, d policy.Decision) (*account, policy.Decision) {
	s := c.sandbox
	charges := s.function.engine.Charges(req, d)
	if len(charges) == 0 {
		return nil, d
	}
	a := &account{conn: c, req: req, rule: d.Rule}
	for _, charge := range charges {
		if charge.Budget.Per == policy.PerMinute {
			a.meters = append(a.meters, s.function.meters.of(charge))
		} else {
			a.meters = append(a.meters, s.shares.of(charge)...)
		}
	}
	if full := a.call(length); full != nil {
		return nil, a.over(full)
	}
	return a, d
}

// spend counts bytes of a body, of either direction; false if the transfer is to be cut. That is recorded
// once for a call.
func (a *account) spend(n int) bool {
	if a == nil {
		return true
	}
	full := a.take(n)
	if full == nil {
		return true
	}
	s := a.conn.sandbox
	a.once.Do(func() {
		r := explained(recordOf(a.req), s.function.engine.Explain(a.req, a.over(full)))
		if s.function.monitor {
			s.ledger.pass(monitored, r)
		} else {
			a.conn.write(r)
		}
	})
	if s.function.monitor {
		return true
	}
	a.cut.Store(full)
	return false
}

// wasCut tells whether the call was cut short.
func (a *account) wasCut() bool { return a != nil && a.cut.Load() != nil }

var errOverBudget = errors.New("the budget of the rule is used up")

// reader counts what is read from r. Without a bound it is r itself.
func (a *account) reader(r io.Reader) io.Reader {
	if a == nil {
		return r
	}
	return &metered{r, a}
}

type metered struct {
	io.Reader
	account *account
}

func (m *metered) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	if n > 0 && !m.account.spend(n) {
		return 0, errOverBudget
	}
	return n, err
}
