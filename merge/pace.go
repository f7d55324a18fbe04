package merge

import "sync"

// paceWindow is how far ahead of its merging a model may be hashed, in bytes.
const paceWindow = 32 << 20

// pace keeps the two that read a model near each other: hashing goes first, in one stream of large pieces as disks like it, and merging finds
// in the page cache what it reads here and there. Models larger than the memory come from the disk once. Each counts its bytes and waits
// where it would be too far ahead.
type pace struct {
	mu             sync.Mutex
	moved          *sync.Cond
	merged, hashed int64
	over           bool // one of the two has ended: the other waits no longer
}

func newPace() *pace {
	p := &pace{}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// merge counts bytes that are going to be merged.
func (p *pace) merge(bytes int64) { p.advance(&p.merged, &p.hashed, bytes, 0) }

// hash counts bytes that are hashed.
func (p *pace) hash(bytes int64) { p.advance(&p.hashed, &p.merged, bytes, paceWindow) }

func (p *pace) advance(own, other *int64, bytes, ahead int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*own += bytes
	p.moved.Broadcast()
	for !p.over && *own > *other+ahead {
		p.moved.Wait()
	}
}

func (p *pace) end() {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.moved.Broadcast()
}
