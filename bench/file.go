package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// File is what a run writes.
type File struct {
	SchemaVersion int               `json:"schema_version"`
	Date          string            `json:"date"`
	Machine       Machine           `json:"machine"`
	Engine        engine.Info       `json:"engine"`
	Versions      map[string]string `json:"versions"`
	Lines         []Result          `json:"lines"`
}

// Machine is what was measured on.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"` // that Go may use
	Memory int64  `json:"memory_bytes"`
	System string `json:"system"`
}

// Result is one measured line. Times are in seconds.
type Result struct {
	Suite     string       `json:"suite"`
	Name      string       `json:"name"`
	Seconds   float64      `json:"seconds"` // median
	Quartile1 float64      `json:"quartile_1"`
	Quartile3 float64      `json:"quartile_3"`
	Min       float64      `json:"min"`
	Runs      int          `json:"runs"`
	Rate      float64      `json:"rate,omitempty"` // work a second
	Unit      string       `json:"unit,omitempty"` // of the rate
	Limit     string       `json:"limit,omitempty"`
	OfLimit   float64      `json:"of_limit,omitempty"` // time over the time that the limit allows; 1 is the best possible
	Base      string       `json:"base,omitempty"`
	OfBase    float64      `json:"of_base,omitempty"` // median of the ratios to the base, run in turns
	Most      Most         `json:"most,omitzero"`
	Peers     []PeerResult `json:"peers,omitempty"`
}

// Missed says what a line should take at most and how much it takes, "" where it does not.
func (r Result) Missed() string {
	for _, m := range []struct {
		got, most float64
		of        string
	}{{r.OfLimit, r.Most.OfLimit, " x the limit"}, {r.OfBase, r.Most.OfBase, " x " + r.Base}, {r.Seconds, r.Most.Seconds, " s"}} {
		if m.most > 0 && m.got > m.most {
			return fmt.Sprintf("takes %.3g%s, should take at most %.3g", m.got, m.of, m.most)
		}
	}
	return ""
}

// PeerResult is the time of another program for the same work on this machine.
type PeerResult struct {
	Variant string  `json:"variant"`
	Seconds float64 `json:"seconds"`
	Ratio   float64 `json:"ratio"` // ours over theirs; below 1 is faster
}

func newFile(e *engine.Engine) *File {
	return &File{
		SchemaVersion: 1, Date: time.Now().UTC().Format(time.RFC3339), Machine: ThisMachine(), Engine: e.Describe(), Versions: bundle.Versions(),
		Lines: []Result{},
	}
}

// ThisMachine describes the machine, as far as it tells.
func ThisMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), System: runtime.GOOS + "/" + runtime.GOARCH}
	if name, ok := procField("/proc/cpuinfo", "model name"); ok {
		m.CPU = name
	}
	if size, ok := procField("/proc/meminfo", "MemTotal"); ok {
		if kb, err := strconv.ParseInt(strings.TrimSuffix(size, " kB"), 10, 64); err == nil {
			m.Memory = kb << 10
		}
	}
	return m
}

// procField is the first value of a field of a file in /proc.
func procField(path, field string) (string, bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == field {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// Write writes the file.
func (f *File) Write(path string) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(f)
	})
}

// Read reads a file that Write wrote.
func Read(path string) (*File, error) {
	var f File
	if err := decode(path, &f); err != nil {
		return nil, err
	}
	if f.SchemaVersion != 1 {
		return nil, &fault.Input{File: path, Field: "schema_version", Err: fmt.Errorf("it is %d, want 1", f.SchemaVersion), Fix: "measure again with this version"}
	}
	for i, l := range f.Lines {
		if !(l.Seconds > 0) {
			return nil, &fault.Input{File: path, Field: fmt.Sprintf("lines[%d].seconds", i), Err: fmt.Errorf("it is %v, want more than 0", l.Seconds), Fix: "measure again"}
		}
	}
	return &f, nil
}

// mostFile bounds a file of results: some hundred lines of a thousand bytes.
const mostFile = 64 << 20

func decode(path string, into any) error {
	data, err := untrusted.ReadFilled(path, mostFile)
	if err != nil {
		return &fault.Input{File: path, Err: err, Fix: "name a file that is there"}
	}
	if err := strict.Decode(data, into); err != nil {
		return &fault.Input{File: path, Err: err, Fix: `give a file of "ballast bench --out", or of bench/peers`}
	}
	return nil
}

// Table prints the results for people.
func (f *File) Table(w io.Writer) error {
	line := printable.Line // the file may be another's
	fmt.Fprintf(w, "%s, %d cores; engine %s; %s\n\n", line(f.Machine.CPU), f.Machine.Cores, line(f.Engine.Kind), line(fmt.Sprint(f.Date)))
	t := console.NewTable(w, 2, 3, 6, 4)
	fmt.Fprintln(t, "suite\tline\tmedian\tquartiles\trate\tof the limit\tof its base\tof a peer")
	for _, l := range f.Lines {
		rate, limit, base := "", "", ""
		if l.Rate > 0 {
			rate = scaled(l.Rate) + line(l.Unit)
		}
		if l.OfLimit > 0 {
			limit = fmt.Sprintf("%.2f x %s", l.OfLimit, line(l.Limit))
		}
		if l.OfBase > 0 {
			base = fmt.Sprintf("%.2f", l.OfBase)
		}
		var peers []string
		for _, p := range l.Peers {
			peers = append(peers, fmt.Sprintf("%.2f x %s", p.Ratio, line(p.Variant)))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s to %s\t%s\t%s\t%s\t%s\n", line(l.Suite), line(l.Name), seconds(l.Seconds), seconds(l.Quartile1), seconds(l.Quartile3), rate, limit, base, strings.Join(peers, ", "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range f.Lines {
		if missed := l.Missed(); missed != "" {
			fmt.Fprintf(w, "\n%s %s %s\n", line(l.Suite), line(l.Name), line(missed))
		}
	}
	return nil
}

func seconds(s float64) string {
	switch {
	case s < 1e-3:
		return fmt.Sprintf("%.1f us", s*1e6)
	case s < 1:
		return fmt.Sprintf("%.2f ms", s*1e3)
	}
	return fmt.Sprintf("%.2f s", s)
}

func scaled(v float64) string {
	for _, p := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= p.size {
			return fmt.Sprintf("%.3g %s", v/p.size, p.name)
		}
	}
	return fmt.Sprintf("%.3g ", v)
}

// Change is how a line differs between two files.
type Change struct {
	Suite  string  `json:"suite"`
	Name   string  `json:"name"`
	Before float64 `json:"before"` // seconds; 0 = not in that file
	After  float64 `json:"after"`
	Ratio  float64 `json:"ratio,omitempty"` // after over before
	Clear  bool    `json:"clear"`           // the quartiles do not overlap
}

// Compare sets the lines of two files side by side, in the order of the second, then what only the first has.
func Compare(before, after *File) []Change {
	var list []Change
	find := func(f *File, like Result) (Result, bool) {
		for _, l := range f.Lines {
			if l.Suite == like.Suite && l.Name == like.Name {
				return l, true
			}
		}
		return Result{}, false
	}
	for _, l := range after.Lines {
		c := Change{Suite: l.Suite, Name: l.Name, After: l.Seconds}
		if old, ok := find(before, l); ok {
			c.Before, c.Ratio = old.Seconds, l.Seconds/old.Seconds
			c.Clear = l.Quartile1 > old.Quartile3 || l.Quartile3 < old.Quartile1
		}
		list = append(list, c)
	}
	for _, l := range before.Lines {
		if _, ok := find(after, l); !ok {
			list = append(list, Change{Suite: l.Suite, Name: l.Name, Before: l.Seconds})
		}
	}
	return list
}

// CompareTable prints a comparison for people.
func CompareTable(w io.Writer, list []Change) error {
	t := console.NewTable(w, 2)
	fmt.Fprintln(t, "suite\tline\tbefore\tafter\tratio\t")
	for _, c := range list {
		before, after, ratio, verdict := "-", "-", "", ""
		if c.Before > 0 {
			before = seconds(c.Before)
		}
		if c.After > 0 {
			after = seconds(c.After)
		}
		if c.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", c.Ratio)
			switch {
			case c.Clear && c.Ratio < 1:
				verdict = "faster"
			case c.Clear:
				verdict = "slower"
			default:
				verdict = "within the spread"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", printable.Line(c.Suite), printable.Line(c.Name), before, after, ratio, verdict)
	}
	return t.Flush()
}

// Peers is what a script of bench/peers measured on this machine.
type Peers struct {
	SchemaVersion int     `json:"schema_version"`
	Name          string  `json:"name"` // program and version
	Machine       Machine `json:"machine"`
	Threads       int     `json:"threads"`
	Lines         []Peer  `json:"lines"`
}

// Peer is one time of a peer.
type Peer struct {
	Suite   string  `json:"suite"`
	Name    string  `json:"name"`
	Variant string  `json:"variant"`
	Seconds float64 `json:"seconds"`
	Runs    int     `json:"runs"`
}

// ReadPeers reads a peer's results, and refuses those of another machine.
func ReadPeers(path string) (*Peers, error) {
	var p Peers
	if err := decode(path, &p); err != nil {
		return nil, err
	}
	if here := ThisMachine(); p.Machine.CPU != here.CPU {
		return nil, &fault.Input{
			File: path, Field: "machine.cpu", Err: fmt.Errorf("it is %q, this machine has %q", p.Machine.CPU, here.CPU),
			Fix: "measure the peer on this machine; a ratio between machines says nothing",
		}
	}
	for i, l := range p.Lines {
		if !(l.Seconds > 0) {
			return nil, &fault.Input{File: path, Field: fmt.Sprintf("lines[%d].seconds", i), Err: fmt.Errorf("it is %v, want more than 0", l.Seconds), Fix: "measure again"}
		}
	}
	return &p, nil
}

func (p *Peers) of(l Line, ours float64) (list []PeerResult) {
	if p == nil {
		return nil
	}
	for _, peer := range p.Lines {
		if peer.Suite == l.Suite && peer.Name == l.Name {
			list = append(list, PeerResult{Variant: strings.TrimSpace(p.Name + " " + peer.Variant), Seconds: peer.Seconds, Ratio: ours / peer.Seconds})
		}
	}
	return list
}
