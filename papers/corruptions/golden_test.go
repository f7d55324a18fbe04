package corruptions

import (
	"fmt"
	"testing"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
)

func TestGolden(t *testing.T) {
	images := func(*engine.Engine) []golden.Kind { return imageKinds() }
	papertest.Golden(t, "corruptions", images, adapterKinds, memoryKinds)
}

// imageKinds test what is done to images, and the mean corruption error.
func imageKinds() []golden.Kind {
	kind := func(name string, run func(golden.T, *golden.Case), keys ...string) golden.Kind {
		return golden.Kind{Name: name, Match: func(c *golden.Case) bool { return c.Has(keys...) }, Run: run}
	}
	return []golden.Kind{
		kind("a corruption of a table", ofTable, "params.table", "params.severity", "inputs.x_uint8"),
		{
			Name:  "kernels of disks",
			Match: func(c *golden.Case) bool { return !c.Has("inputs.x_uint8") && c.Has("outputs.disk_r3_a0.1") },
			Run:   disks,
		},
		kind("normal noise", normalNoise, "inputs.x_uint8", "inputs.normal"),
		kind("impulse noise", impulses, "inputs.u_flip", "inputs.u_salt"),
		kind("shot noise", counts, "inputs.poisson"),
		kind("fog", fog, "params.mapsize", "inputs.u"),
		kind("glass blur", glass, "params.true_swap", "inputs.offsets_dx_dy"),
		kind("elastic displacement", displacement, "inputs.u_dx", "inputs.u_dy"),
		kind("mean corruption error", meanError, "inputs.errors", "inputs.reference_errors"),
	}
}

// image is the input, in [0,1], and its shape.
func image(c *golden.Case) (src []float32, shape []int) {
	x := c.Tensor("inputs.x_uint8")
	src = make([]float32, len(x.Data))
	for i, v := range x.Data {
		src[i] = float32(v) / 255
	}
	return src, x.Shape
}

// got compares an image on the scale to 255.
func got(c *golden.Case, y []float32, shape []int) {
	scaled := make([]float64, len(y))
	for i, v := range y {
		scaled[i] = 255 * float64(v)
	}
	c.Got("y_255", shape, scaled)
}

func ofTable(t golden.T, c *golden.Case) {
	var p struct {
		Corruption string `json:"corruption"`
		Table      string `json:"table"`
		Severity   int    `json:"severity"`
	}
	c.Params(&p)
	table, err := corrupt.FindTable(map[string]string{"imagenet": corrupt.ImageNetC, "cifar": corrupt.CIFARC}[p.Table])
	if err != nil {
		t.Fatalf("%v", err)
		return
	}
	shift, err := table.Find(p.Corruption)
	if err != nil {
		t.Fatalf("%v", err)
		return
	}
	src, shape := image(c)
	y := make([]float32, len(src))
	shift.(corrupt.Quantized).Shift.Apply(y, src, shape, p.Severity, 0, 0)
	if p.Corruption == "pixelate" { // the file allows one byte more or less
		bytes(t, c, y)
		return
	}
	got(c, y, shape)
}

// bytes compares whole numbers, exactly.
func bytes(t golden.T, c *golden.Case, y []float32) {
	c.Compared("y_255")
	for i, want := range c.Tensor("outputs.y_255").Data {
		if v := float64(y[i] * 255); v != want {
			t.Errorf("y_255[%d] is %v, want %v", i, v, want)
			return
		}
	}
}

func disks(_ golden.T, c *golden.Case) {
	var p struct {
		ImageNet []float64 `json:"inet"`
		CIFAR    []float64 `json:"cifar_s5"`
	}
	c.Params(&p)
	all := []corrupt.Disk{{Radius: 4, Alias: 0.5}}
	for _, v := range [][]float64{p.ImageNet, p.CIFAR} {
		all = append(all, corrupt.Disk{Radius: v[0], Alias: v[1]})
	}
	for _, d := range all {
		kernel, size := d.Kernel()
		c.Got(fmt.Sprintf("disk_r%v_a%v", d.Radius, d.Alias), []int{size, size}, kernel)
	}
}

// constant is the parameters of the noises.
type constant struct {
	Corruption string  `json:"corruption"`
	C          float64 `json:"c"`
}

func normalNoise(t golden.T, c *golden.Case) {
	var p constant
	c.Params(&p)
	src, shape := image(c)
	y := make([]float32, len(src))
	switch p.Corruption {
	case "gaussian_noise":
		corrupt.WithNormal(y, src, p.C, c.Tensor("inputs.normal").Data)
	case "speckle_noise":
		corrupt.WithSpeckle(y, src, p.C, c.Tensor("inputs.normal").Data)
	default:
		t.Fatalf("no noise %q is made of normal draws", p.Corruption)
	}
	got(c, y, shape)
}

func impulses(_ golden.T, c *golden.Case) {
	var p constant
	c.Params(&p)
	src, shape := image(c)
	y := make([]float32, len(src))
	corrupt.WithImpulses(y, src, p.C, c.Tensor("inputs.u_flip").Data, c.Tensor("inputs.u_salt").Data)
	got(c, y, shape)
}

func counts(_ golden.T, c *golden.Case) {
	var p constant
	c.Params(&p)
	src, shape := image(c)
	draws := c.Tensor("inputs.poisson").Data
	whole := make([]int, len(draws))
	for i, v := range draws {
		whole[i] = int(v)
	}
	y := make([]float32, len(src))
	corrupt.WithCounts(y, src, p.C, whole)
	got(c, y, shape)
}

func fog(_ golden.T, c *golden.Case) {
	var p struct {
		Corruption string     `json:"corruption"`
		C          [2]float64 `json:"c"`
		Size       int        `json:"mapsize"`
	}
	c.Params(&p)
	draws, next := c.Tensor("inputs.u").Data, 0
	plasma := corrupt.Plasma(p.Size, p.C[1], func() float64 {
		next++
		return draws[next-1]
	})
	c.Got("plasma", []int{p.Size, p.Size}, plasma)
	src, shape := image(c)
	y := make([]float32, len(src))
	corrupt.Cloud{Amount: p.C[0], Decay: p.C[1]}.With(y, src, shape, plasma, p.Size)
	got(c, y, shape)
}

func glass(_ golden.T, c *golden.Case) {
	var p struct {
		Corruption string     `json:"corruption"`
		C          [3]float64 `json:"c"`
		TrueSwap   bool       `json:"true_swap"`
	}
	c.Params(&p)
	src, shape := image(c)
	offsets, next := c.Tensor("inputs.offsets_dx_dy").Data, 0
	y := make([]float32, len(src))
	g := corrupt.Glass{Sigma: p.C[0], Reach: int(p.C[1]), Times: int(p.C[2])}
	shuffled := g.With(y, src, shape, p.TrueSwap, func() (dx, dy int) {
		next += 2
		return int(offsets[next-2]), int(offsets[next-1])
	})
	values := make([]float64, len(shuffled))
	for i, v := range shuffled {
		values[i] = float64(v)
	}
	c.Got("shuffled_uint8", shape, values)
	got(c, y, shape)
}

func displacement(_ golden.T, c *golden.Case) {
	var p struct {
		Corruption string `json:"corruption"`
		corrupt.Rubber
	}
	c.Params(&p)
	src, shape := image(c)
	dx := p.Displacement(c.Tensor("inputs.u_dx").Data, shape)
	dy := p.Displacement(c.Tensor("inputs.u_dy").Data, shape)
	c.Got("dx", shape[:2], dx)
	c.Got("dy", shape[:2], dy)
	y := make([]float32, len(src))
	corrupt.Displace(y, src, shape, dx, dy)
	got(c, y, shape)
}

func meanError(t golden.T, c *golden.Case) {
	var p struct {
		Clean     float64 `json:"clean_error"`
		Reference float64 `json:"clean_error_reference"`
	}
	c.Params(&p)
	rows := func(name string) (rows [][]float64) {
		x := c.Tensor(name)
		for i := range x.Shape[0] {
			rows = append(rows, x.Data[i*x.Shape[1]:(i+1)*x.Shape[1]])
		}
		return rows
	}
	errs, reference := rows("inputs.errors"), rows("inputs.reference_errors")
	ce, mean, err := metric.CorruptionErrors(errs, reference)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("ce", []int{len(ce)}, ce)
	c.Scalar("mce", mean)
	if ce, mean, err = metric.RelativeCorruptionErrors(errs, p.Clean, reference, p.Reference); err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("relative_ce", []int{len(ce)}, ce)
	c.Scalar("relative_mce", mean)
	if _, mean, err = metric.CorruptionErrors(errs, nil); err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("unnormalised", mean)
}
