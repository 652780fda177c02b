package wasm

import (
	"crypto/sha256"
	"sync"
	"weak"
)

// A pluginKey is what makes two plugins the same.
type pluginKey struct {
	file          [sha256.Size]byte
	name, options string
}

// What has been made and is still in use. It is forgotten, with its machine code, when no connection and no
// configuration refers to it any more.
var (
	programs cache[[sha256.Size]byte, program]
	plugins  cache[pluginKey, Plugin]
)

type cache[K comparable, V any] struct {
	mu   sync.Mutex
	have map[K]weak.Pointer[V]
}

// get returns what is kept under key, nil if nothing is.
func (c *cache[K, V]) get(key K) *V {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.have[key].Value()
}

// put keeps v, and drops what is gone.
func (c *cache[K, V]) put(key K, v *V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have == nil {
		c.have = map[K]weak.Pointer[V]{}
	}
	for k, p := range c.have {
		if p.Value() == nil {
			delete(c.have, k)
		}
	}
	c.have[key] = weak.Make(v)
}
