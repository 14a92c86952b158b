package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"ipq"
	"ipq/internal/sandbox"
)

// trialView prints what try shows. Its methods may be called from any goroutine.
type trialView struct {
	mu      sync.Mutex
	w       io.Writer
	format  format
	lines   lines
	records records
	buf     []byte
	seen    chan struct{} // a packet has been printed
}

func newTrialView(w io.Writer, f format) *trialView {
	return &trialView{w: w, format: f, lines: lines{Names: names{Numeric: true}}, seen: make(chan struct{}, 1)}
}

// startEvent begins the JSON stream.
type startEvent struct {
	Event string    `json:"event"` // "start"
	Time  time.Time `json:"time"`
	Here  []string  `json:"here"` // addresses
	Host  []string  `json:"host"`
}

// exchangeEvent is what the JSON stream has of an exchange, when it has ended.
type exchangeEvent struct {
	Event    string    `json:"event"` // "exchange"
	Time     time.Time `json:"time"`
	Protocol string    `json:"protocol"`
	Src      string    `json:"src"`
	Dst      string    `json:"dst"`
	Name     string    `json:"name"`
	Fate     fate      `json:"fate"`
	Arrived  bool      `json:"arrived"`
	Answered bool      `json:"answered"`
	Answer   string    `json:"answer,omitempty"`
}

func addressesOf(h *sandbox.Host) []string {
	list := []string{h.IPv4.String()}
	if h.IPv6.IsValid() {
		list = append(list, h.IPv6.String())
	}
	return list
}

func (v *trialView) addresses(n *sandbox.Net) {
	here, host := addressesOf(n.Router), addressesOf(n.Hosts[0])
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.format == formatJSON {
		writeJSON(v.w, startEvent{"start", time.Now().UTC(), here, host})
		return
	}
	fmt.Fprintf(v.w, "# a private network: this side is %s, a host at %s answers ping, HTTP and DNS\n", and(here), and(host))
}

func and(list []string) string {
	if len(list) == 2 {
		return list[0] + " and " + list[1]
	}
	return list[0]
}

// begin says what an exchange is, before its packets.
func (v *trialView) begin(e sandbox.Exchange, f fate) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.format == formatJSON {
		return
	}
	fmt.Fprintf(v.w, "\n# %s%s\n", request(e), map[fate]string{
		passed:  "",
		dropped: ", dropped on purpose",
		changed: ", the answer changed on its way back",
	}[f])
}

// request says in words what an exchange asks.
func request(e sandbox.Exchange) string {
	to := e.To.IPv4
	if e.IPv6 {
		to = e.To.IPv6
	}
	switch e.Protocol {
	case sandbox.HTTP:
		return fmt.Sprintf("HTTP: get /%s from %s", e.Name, to)
	case sandbox.DNS:
		return fmt.Sprintf("DNS: ask %s for %s", to, e.Name)
	}
	return fmt.Sprintf("ping %s", to)
}

// packet prints one packet.
func (v *trialView) packet(p *ipq.Packet, verdict ipq.Verdict, changed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := newEvent(tryQueue, p, verdict, changed)
	if v.format == formatJSON {
		v.buf = v.records.packet(v.buf[:0], &e)
	} else {
		v.buf = v.lines.packet(v.buf[:0], &e)
	}
	v.w.Write(v.buf) // whether it could be written, end says
	select {
	case v.seen <- struct{}{}:
	default:
	}
}

// settle waits until no packet has come for a moment.
func (v *trialView) settle() {
	const quiet, patience = 20 * time.Millisecond, time.Second
	end := time.After(patience)
	for {
		select {
		case <-v.seen:
		case <-time.After(quiet):
			return
		case <-end:
			return
		}
	}
}

// result says how an exchange ended, after its packets.
func (v *trialView) result(e sandbox.Exchange, f fate, r sandbox.Result) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.format == formatJSON {
		from, to := e.From.IPv4, e.To.IPv4
		if e.IPv6 {
			from, to = e.From.IPv6, e.To.IPv6
		}
		writeJSON(v.w, exchangeEvent{"exchange", time.Now().UTC(), e.Protocol.String(), from.String(), to.String(), e.Name, f, r.Arrived, r.Answered, r.Answer})
		return
	}
	switch {
	case r.Answered:
		fmt.Fprintf(v.w, "# answered: %s\n", printable(r.Answer))
	case r.Arrived:
		fmt.Fprintln(v.w, "# arrived, and was not answered")
	default:
		fmt.Fprintln(v.w, "# did not arrive")
	}
}

// end prints the count, as the last line. A reader that went away has seen
// enough.
func (v *trialView) end(s ipq.Stats) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var err error
	if v.format == formatJSON {
		_, err = v.w.Write(v.records.end(v.buf[:0], time.Now(), newTally(s)))
	} else {
		_, err = fmt.Fprintln(v.w, newTally(s))
	}
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
