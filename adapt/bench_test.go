package adapt_test

import (
	"testing"
	"time"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/adapt/adapttest"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/zoo"
)

// BenchmarkAnswer measures a step of each method on batches of 64, beside a plain forward in the same run: alpha-BN is to cost at most 1.3 of
// them, TENT 3.5. CoTTA is measured with a batch of which the source model is sure; views cost a forward each.
func BenchmarkAnswer(b *testing.B) {
	e, err := engine.Open("")
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	const batch = 64
	cotta := adapt.NewCotta()
	cotta.Threshold = 0
	convnet, resnet := zoo.NewConvNet(), zoo.NewResNet(20)
	for _, net := range []struct {
		name    string
		network zoo.Network
		shape   []int
	}{{"convnet-28x28", convnet, []int{28, 28, 1}}, {"resnet20-32x32", resnet, []int{32, 32, 3}}} {
		m := adapt.Model{Bundle: adapttest.NewBundle(b, e, net.network, net.shape), Engine: e, Batch: batch}
		x := adapttest.Inputs(1, batch, net.shape...)
		forward, err := m.Bundle.NewForward(e, batch)
		if err != nil {
			b.Fatal(err)
		}
		plain := func() error { _, err := forward.Logits(x, batch); return err }
		for _, method := range []adapt.Method{
			adapt.NewBatch(), adapt.NewAlphaBN(), adapt.NewEMA(), adapt.NewUnMix(), adapt.NewTent(), adapt.NewCore(), cotta,
		} {
			b.Run(net.name+"/"+adapt.Name(method), func(b *testing.B) {
				a, err := method.Start(m)
				if err != nil {
					b.Fatal(err)
				}
				defer a.Close()
				step := func() error { _, err := a.Answer(b.Context(), x, batch); return err }
				var took [2]float64 // seconds of plain forwards and of steps, one after the other so that both see the same machine
				n := 0
				for b.Loop() {
					for i, run := range []func() error{plain, step} {
						start := time.Now()
						if err := run(); err != nil {
							b.Fatal(err)
						}
						if n > 0 {
							took[i] += time.Since(start).Seconds()
						}
					}
					n++
				}
				b.ReportMetric(took[1]/took[0], "x-forward")
				b.ReportMetric(1e9*took[1]/float64(max(n-1, 1)*batch), "ns/image")
			})
		}
		forward.Close()
	}
}
