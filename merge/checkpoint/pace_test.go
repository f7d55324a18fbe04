package checkpoint

import (
	"sync"
	"testing"
	"time"
)

// TestPace: neither runs away from the other, both come to their ends, in whatever steps.
func TestPace(t *testing.T) {
	for _, steps := range [][2]int64{{1 << 20, 3 << 20}, {40 << 20, 1 << 20}, {7 << 20, 40 << 20}} {
		p := newPace()
		const total = 200 << 20
		var wait sync.WaitGroup
		check := func(own, other func() int64, ahead int64) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if !p.over && own() > other()+ahead {
				t.Errorf("steps of %v: %d bytes are done where the other has %d", steps, own(), other())
			}
		}
		merged, hashed := func() int64 { return p.merged }, func() int64 { return p.hashed }
		wait.Go(func() {
			defer p.end()
			for done := int64(0); done < total; done += steps[0] {
				p.merge(steps[0])
				check(merged, hashed, 0)
			}
		})
		wait.Go(func() {
			defer p.end()
			for done := int64(0); done < total; done += steps[1] {
				p.hash(steps[1])
				check(hashed, merged, paceWindow)
			}
		})
		wait.Wait()
		if p.merged < total || p.hashed < total {
			t.Errorf("steps of %v: %d and %d bytes of %d", steps, p.merged, p.hashed, total)
		}
	}
}

// TestPaceIdle: a model that is hashed and hardly merged waits until merging ends.
func TestPaceIdle(t *testing.T) {
	p := newPace()
	done := make(chan bool)
	go func() {
		p.hash(paceWindow)
		p.hash(1)
		close(done)
	}()
	for hashed := int64(0); hashed <= paceWindow; { // it counts before it waits
		p.mu.Lock()
		hashed = p.hashed
		p.mu.Unlock()
	}
	time.Sleep(20 * time.Millisecond)
	select {
	case <-done:
		t.Error("hashing went on")
	default:
	}
	p.end()
	<-done
}
