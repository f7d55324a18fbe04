package train

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/zoo"
)

// images is a set of random images of MNIST's shape whose labels can be learnt: a bright square whose row is the label.
type images struct{ pixels []byte }

func newImages(n int) images {
	r := rand.New(rand.NewPCG(1, 1))
	s := images{pixels: make([]byte, n*784)}
	for i := range s.pixels {
		s.pixels[i] = byte(r.IntN(64))
		if label := i / 784 % 10; i%784/28/3 == label && i%28 > 10 && i%28 < 18 {
			s.pixels[i] = 255
		}
	}
	return s
}

func (s images) Info() data.Info {
	return data.Info{Name: "squares", Shape: []int{28, 28, 1}, Classes: []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}}
}
func (s images) Len() int          { return len(s.pixels) / 784 }
func (s images) Label(i int) int32 { return int32(i % 10) }
func (s images) Bytes() []byte     { return s.pixels }
func (s images) Read(i int, dst []float32) error {
	for k, b := range s.pixels[i*784 : (i+1)*784] {
		dst[k] = float32(b) / 255
	}
	return nil
}

// BenchmarkTrainCNN measures updates of the demo CNN at batch 64 on images of MNIST's shape, after checking that it learns:
// steps a second, and the share of a step in which the host works and the engine waits.
func BenchmarkTrainCNN(b *testing.B) {
	for _, choice := range []string{engine.KindGo, "xla"} {
		b.Run(choice, func(b *testing.B) {
			if plugin := os.Getenv("BALLAST_TEST_PLUGIN"); choice == "xla" && plugin != "" {
				choice = "xla:" + plugin
			}
			e, err := engine.Open(choice)
			if err != nil {
				b.Skip(err)
			}
			defer e.Close()
			r := NewRecipe()
			r.Network = zoo.Choice{Network: zoo.NewCNN()}
			r.Schedule.Name, r.Optimizer, r.Steps = "constant", sgd(0.05), 100
			set := newImages(6400)
			inner, err := newLoop(r, Options{Engine: e, Data: set})
			if err != nil {
				b.Fatal(err)
			}
			l := &run{Loop: inner, record: record{Metrics: map[string]float64{}}}
			defer l.close()
			if err := l.open(context.Background()); err != nil {
				b.Fatal(err)
			}
			if err := l.run(context.Background()); err != nil { // check first
				b.Fatal(err)
			}
			if loss := l.record.Metrics["loss"]; !(loss < 0.5) {
				b.Fatalf("loss is %v after 100 steps; want below 0.5", loss)
			}
			l.plan.steps += b.N
			b.ResetTimer()
			began := time.Now()
			if err := l.run(context.Background()); err != nil {
				b.Fatal(err)
			}
			wall := time.Since(began)
			b.ReportMetric(float64(b.N)/wall.Seconds(), "steps/s")
			b.ReportMetric(100*float64(wall-l.callSpent)/float64(wall), "host-%")
		})
	}
}
