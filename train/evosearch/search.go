package evosearch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// Search says how layers are searched for. A candidate is drawn, tried on every anchor network, and stays in the population if it is not
// rejected:
//
//	structural   the result does not depend on x; costs nothing
//	quality      training diverges, or an accuracy is below Threshold; the anchors behind are not tried
//	stability    the norm of the gradient can be driven above 1e8; see StabilityTest
//
// Random search draws every candidate anew. Evolution draws the first Start of them anew, and then mutates winners of tournaments: a share
// of the most recent Population survivors is drawn, and a random member of its Pareto front over the anchors wins, or the best by
// average. Candidates are drawn in rounds of Round and tried at once, so that the result depends on the seed alone.
//
// The paper keeps 2,500 candidates, draws 5 %, and trains three networks for 2,000 steps; its first candidates are random, their
// number is not given.
type Search struct {
	Random     bool    `json:"random"`     // random search; false
	Budget     int     `json:"budget"`     // candidates trained; 300
	Nodes      int     `json:"nodes"`      // of a genome; 10
	PerSample  bool    `json:"per_sample"` // without operations over the batch, as for the S series; false
	Start      int     `json:"start"`      // candidates of evolution drawn anew; 100
	Population int     `json:"population"` // most recent survivors kept; 2500
	Tournament float64 `json:"tournament"` // share of them drawn; 0.05
	Least      int     `json:"least"`      // fewest drawn; 5
	Average    bool    `json:"average"`    // the best by average wins, not a member of the Pareto front; false
	Threshold  float64 `json:"threshold"`  // accuracy below which a candidate is rejected; 0.2
	Stability  bool    `json:"stability"`  // run the stability test on survivors; false
	Round      int     `json:"round"`      // candidates tried between two selections; 8
	Workers    int     `json:"workers"`    // tried at the same time; 2
	Seed       uint64  `json:"seed"`       // 1
	Proxy      Proxy   `json:"proxy"`
}

// Proxy is how a candidate is trained.
type Proxy struct {
	Data  string  `json:"data"`  // optdigits
	Steps int     `json:"steps"` // 100
	Batch int     `json:"batch"` // 64
	LR    float64 `json:"lr"`    // SGD with momentum 0.9, constant; 0.05
}

// NewSearch returns evolution at a size for two cores.
func NewSearch() Search {
	return Search{
		Budget: 300, Nodes: 10, Start: 100, Population: 2500, Tournament: 0.05, Least: 5, Threshold: 0.2, Round: 8, Workers: 2, Seed: 1,
		Proxy: Proxy{Data: "optdigits", Steps: 100, Batch: 64, LR: 0.05},
	}
}

// Validate says what is wrong with the options, and how to fix it.
func (s Search) Validate() error {
	var errs []error
	for _, c := range []struct {
		ok  bool
		key string
		got any
		fix string
	}{
		{s.Budget >= 1, "budget", s.Budget, "use at least 1"}, {s.Nodes >= 1, "nodes", s.Nodes, "use at least 1"},
		{s.Population >= 1, "population", s.Population, "use at least 1"}, {s.Round >= 1, "round", s.Round, "use at least 1"},
		{s.Workers >= 1, "workers", s.Workers, "use at least 1"}, {s.Least >= 1, "least", s.Least, "use at least 1"},
		{s.Tournament >= 0 && s.Tournament <= 1, "tournament", s.Tournament, "use a share from 0 to 1"},
		{s.Threshold >= 0 && s.Threshold < 1, "threshold", s.Threshold, "use a share from 0 to below 1"},
		{s.Proxy.Steps >= 1, "proxy.steps", s.Proxy.Steps, "use at least 1"}, {s.Proxy.Batch >= 1, "proxy.batch", s.Proxy.Batch, "use at least 1"},
	} {
		if !c.ok {
			errs = append(errs, fmt.Errorf("evosearch: %s is %v; %s", c.key, c.got, c.fix))
		}
	}
	return errors.Join(errs...)
}

// Anchors are the networks that a candidate is tried on.
func Anchors() []zoo.Network {
	first, second := zoo.NewConvNet(), zoo.NewConvNet()
	first.Filters, first.Strides = []int{8, 8, 16}, []int{1, 1, 2}
	second.Filters, second.Strides = []int{12, 16}, []int{2, 1}
	return []zoo.Network{first, second}
}

// Trial is what came of a candidate.
type Trial struct {
	Nodes      []norm.GenomeNode `json:"nodes"`
	Accuracies []float64         `json:"accuracies,omitempty"` // on each anchor; fewer where it was rejected
	Rejected   string            `json:"rejected,omitempty"`   // structural, quality or stability; "" = it stays
}

// Result is what a search found.
type Result struct {
	Trials   []Trial        `json:"trials"`   // candidates trained, in order
	Drawn    int            `json:"drawn"`    // candidates drawn, those rejected without training or tried before too
	Rejected map[string]int `json:"rejected"` // of the candidates drawn, by reason
	Fresh    int            `json:"fresh"`    // candidates drawn anew, not mutated
	Failed   int            `json:"failed"`   // of these, rejected
	Best     []float64      `json:"best"`     // best average accuracy after each trial
	Genome   norm.Genome    `json:"genome"`   // of the best average
}

// RejectionRate is the share of rejected ones among candidates drawn anew.
func (r *Result) RejectionRate() float64 { return float64(r.Failed) / float64(max(1, r.Fresh)) }

// BestAccuracy is the best average accuracy over the anchors, 0 if nothing stayed.
func (r *Result) BestAccuracy() float64 {
	if len(r.Best) == 0 {
		return 0
	}
	return r.Best[len(r.Best)-1]
}

// Options are what a search needs besides its settings.
type Options struct {
	Try      func(ctx context.Context, g norm.Genome) (Trial, error) // trains a candidate that passed the structural test; see Search.Try
	Dir      string                                                  // where trials are written, for a search cut short to resume; "" writes none
	Progress func(done, budget int, best float64)                    // nil = nobody
}

// Run searches. A search that is cut short resumes when called again with the same folder: finished trainings are not repeated.
func (s Search) Run(ctx context.Context, o Options) (*Result, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}

	log, err := openLog(o.Dir, s)
	if err != nil {
		return nil, err
	}

	defer log.close()
	r := rand.New(rand.NewPCG(s.Seed, 21))
	result := &Result{Rejected: map[string]int{}}
	known := map[string]Trial{}
	var population []Trial
	// Where nearly all that is drawn was tried before, the search ends with fewer trials.
	for idle := 0; len(result.Trials) < s.Budget && idle < 1000; {
		type drawn struct {
			genome norm.Genome
			fresh  bool
		}
		var round []drawn
		var fresh []norm.Genome // to be trained
		for len(round) < s.Round {
			d := drawn{fresh: s.Random || len(result.Trials) < s.Start || len(population) == 0}
			if d.fresh {
				d.genome = Random(r, s.Nodes, s.PerSample)
			} else {
				d.genome = norm.NewGenome()
				d.genome.Nodes = s.winner(r, population).Nodes
				d.genome = Mutate(r, d.genome, s.PerSample)
			}
			round = append(round, d)
			k := key(d.genome)
			if _, ok := known[k]; ok || !d.genome.DependsOnX() || slices.ContainsFunc(fresh, func(g norm.Genome) bool { return key(g) == k }) {
				continue
			}
			fresh = append(fresh, d.genome)
		}
		fresh = fresh[:min(len(fresh), s.Budget-len(result.Trials))]
		trials, err := s.tryAll(ctx, fresh, o.Try, log)
		if err != nil {
			return nil, err
		}
		for i, t := range trials {
			known[key(fresh[i])] = t
			result.Trials = append(result.Trials, t)
		}
		if idle++; len(fresh) > 0 {
			idle = 0
		}
		for _, d := range round {
			t, tried := known[key(d.genome)]
			if !d.genome.DependsOnX() {
				t, tried = Trial{Rejected: "structural"}, true
			}
			if !tried {
				continue // beyond the budget
			}
			result.Drawn++
			if t.Rejected != "" {
				result.Rejected[t.Rejected]++
			}
			if d.fresh {
				result.Fresh++
				if t.Rejected != "" {
					result.Failed++
				}
			}
			if t.Rejected == "" {
				t.Nodes = d.genome.Nodes // dead nodes may come alive in its children
				population = append(population, t)
			}
		}
		population = population[max(0, len(population)-s.Population):]
		best := result.BestAccuracy()
		for _, t := range trials {
			if a := mean(t.Accuracies); t.Rejected == "" && a > best {
				best = a
				result.Genome = norm.NewGenome()
				result.Genome.Nodes = t.Nodes
			}
			result.Best = append(result.Best, best)
		}
		if o.Progress != nil {
			o.Progress(len(result.Trials), s.Budget, best)
		}
	}

	return result, nil
}

// winner draws a tournament and returns who wins it.
func (s Search) winner(r *rand.Rand, population []Trial) Trial {
	n := min(len(population), max(s.Least, int(s.Tournament*float64(len(population)))))
	sample := r.Perm(len(population))[:n]
	rows := make([][]float64, n)
	for i, k := range sample {
		rows[i] = population[k].Accuracies
	}
	if s.Average {
		return population[sample[BestAverage(rows)]]
	}
	front := ParetoFront(rows)
	return population[sample[front[r.IntN(len(front))]]]
}

// tryAll trains candidates, Workers at a time, and writes what came of them in their order.
func (s Search) tryAll(ctx context.Context, genomes []norm.Genome, try func(context.Context, norm.Genome) (Trial, error), log *trialLog) ([]Trial, error) {
	trials := make([]Trial, len(genomes))
	errs := make([]error, len(genomes))
	slots := make(chan struct{}, s.Workers)
	var all sync.WaitGroup
	for i, g := range genomes {
		if t, ok := log.known[key(g)]; ok {
			trials[i] = t
			trials[i].Nodes = g.Nodes
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				trials[i], errs[i] = try(ctx, g)
			}
		}()
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return trials, log.write(trials)
}

// Try trains a candidate on the anchors.
func (s Search) Try(o train.Options) func(ctx context.Context, g norm.Genome) (Trial, error) {
	return func(ctx context.Context, g norm.Genome) (Trial, error) {
		t := Trial{Nodes: g.Nodes}
		for _, anchor := range Anchors() {
			network := anchor.WithNorm(Canonical(g))
			r := train.NewRecipe()
			r.Data, r.Preprocess, r.Network = data.Choice{Source: data.Named(s.Proxy.Data)}, "none", zoo.Choice{Network: network}
			r.Steps, r.BatchSize, r.EvaluateEvery, r.Seed = s.Proxy.Steps, s.Proxy.Batch, 0, s.Seed
			sgd := optim.NewSGD()
			sgd.LR, sgd.WeightDecay = s.Proxy.LR, 0
			r.Optimizer, r.Schedule.Name = optim.Choice{Optimizer: sgd}, "constant"
			result, err := train.Run(ctx, r, o)
			var diverged *train.Diverged
			switch {
			case errors.As(err, &diverged):
				t.Rejected = "quality"
				return t, nil
			case err != nil:
				return t, err
			}
			accuracy := result.Metrics["accuracy"]
			result.Bundle.Store.Finalize()
			t.Accuracies = append(t.Accuracies, accuracy)
			if !(accuracy >= s.Threshold) {
				t.Rejected = "quality"
				return t, nil
			}
		}
		if s.Stability {
			stable, err := StabilityTest(ctx, o.Engine, Anchors()[1].WithNorm(Canonical(g)), s.Seed)
			if err != nil {
				return t, err
			}
			if !stable {
				t.Rejected = "stability"
			}
		}
		return t, nil
	}
}

// trialLog is the file of trials of a search, one JSON document a line.
type trialLog struct {
	known map[string]Trial
	file  *os.File
}

// checkLog refuses a file of trials that is a link, or no file, in a folder from others.
func checkLog(path string) error {
	f, err := untrusted.OpenNoLink(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("evosearch: %w", err)
	}
	return f.Close()
}

func openLog(dir string, s Search) (*trialLog, error) {
	log := &trialLog{known: map[string]Trial{}}
	if dir == "" {
		return log, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("evosearch: %w", err)
	}
	path := filepath.Join(dir, "trials.jsonl")
	if err := checkLog(path); err != nil {
		return nil, err
	}
	file, err := untrusted.AppendNoLink(path)
	if err != nil {
		return nil, fmt.Errorf("evosearch: %w", err)
	}
	log.file = file
	head, err := json.Marshal(map[string]any{"proxy": s.Proxy, "seed": s.Seed, "threshold": s.Threshold, "stability": s.Stability})
	if err != nil {
		return nil, fmt.Errorf("evosearch: %w", err)
	}
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("evosearch: %w", err), file.Close())
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	whole := int64(0) // bytes of whole lines; a line that a crash cut off goes
	for n := 0; lines.Scan() && whole+int64(len(lines.Bytes()))+1 <= stat.Size(); n++ {
		if n == 0 {
			if lines.Text() != string(head) {
				return nil, errors.Join(fmt.Errorf("evosearch: %s holds trials of another proxy; use another folder, or remove it", path), file.Close())
			}
			whole += int64(len(lines.Bytes())) + 1
			continue
		}
		var t Trial
		if json.Unmarshal(lines.Bytes(), &t) != nil {
			break
		}
		g := norm.NewGenome()
		g.Nodes = t.Nodes
		if g.Validate() != nil {
			break
		}
		log.known[key(g)] = t
		whole += int64(len(lines.Bytes())) + 1
	}
	if err := errors.Join(lines.Err(), file.Truncate(whole)); err != nil {
		return nil, fmt.Errorf("evosearch: %s: %w", path, err)
	}
	if _, err := file.Seek(whole, 0); err != nil {
		return nil, fmt.Errorf("evosearch: %w", err)
	}
	if whole == 0 {
		if _, err := file.Write(append(head, '\n')); err != nil {
			return nil, fmt.Errorf("evosearch: %w", err)
		}
	}
	return log, nil
}

// write appends trials that the file does not have yet.
func (l *trialLog) write(trials []Trial) error {
	if l.file == nil {
		return nil
	}
	for _, t := range trials {
		g := norm.NewGenome()
		g.Nodes = t.Nodes
		if _, ok := l.known[key(g)]; ok {
			continue
		}
		text, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("evosearch: %w", err)
		}
		if _, err := l.file.Write(append(text, '\n')); err != nil {
			return fmt.Errorf("evosearch: %w", err)
		}
		l.known[key(g)] = t
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("evosearch: %w", err)
	}
	return nil
}

func (l *trialLog) close() {
	if l.file != nil {
		l.file.Close() //nolint:errcheck // every write was synced
	}
}
