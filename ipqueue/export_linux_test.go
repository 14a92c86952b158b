package ipqueue

// SetMaxLen changes the longest queue of a family while the handler runs, as a
// write to ip_queue_maxlen did.
func (h *Handler) SetMaxLen(family uint8, n uint32) {
	f := h.ipv4
	if family == IPv6 {
		f = h.ipv6
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.brain.maxLen = n
}
