package ipqueue

// entry is a packet that waits for a verdict. K names the packet to its queue.
type entry[K any] struct {
	id   uint32
	live bool
	key  K
	devs devices
}

// devices are the interface indexes that a packet depends on: in, out, and the
// bridge ports behind them. 0 is none.
type devices [4]uint32

func (d devices) has(index uint32) bool {
	return index != 0 && (d[0] == index || d[1] == index || d[2] == index || d[3] == index)
}

// heldTable finds waiting packets by id. It is an open hash table with linear
// probing.
type heldTable[K any] struct {
	slots []entry[K] // a power of two, at least half of them free
	n     int
}

const heldSlots = 64 // of a new table

func (t *heldTable[K]) mask() uint32 { return uint32(len(t.slots) - 1) }

// home is where the packet of an id belongs. Ids come from a counter, so they are
// scattered: in a row they would be one long run, and remove goes to a run's end.
func (t *heldTable[K]) home(id uint32) uint32 { return id * 0x9e3779b1 >> 7 & t.mask() }

// find returns the slot of id, or -1.
func (t *heldTable[K]) find(id uint32) int {
	if t.n == 0 {
		return -1
	}
	for i := t.home(id); t.slots[i].live; i = (i + 1) & t.mask() {
		if t.slots[i].id == id {
			return int(i)
		}
	}
	return -1
}

// put adds a packet whose id is not in the table.
func (t *heldTable[K]) put(e entry[K]) {
	if 2*(t.n+1) > len(t.slots) {
		old := t.slots
		t.slots = make([]entry[K], max(heldSlots, 2*len(old)))
		t.n = 0
		for i := range old {
			if old[i].live {
				t.put(old[i])
			}
		}
	}
	e.live = true
	i := t.home(e.id)
	for t.slots[i].live {
		i = (i + 1) & t.mask()
	}
	t.slots[i] = e
	t.n++
}

// take removes the packet of id and returns it.
func (t *heldTable[K]) take(id uint32) (e entry[K], ok bool) {
	at := t.find(id)
	if at < 0 {
		return e, false
	}
	e = t.slots[at]
	t.remove(uint32(at))
	return e, true
}

// remove empties a slot and closes the gap, so that probing finds what was put
// behind it.
func (t *heldTable[K]) remove(hole uint32) {
	mask := t.mask()
	for i := (hole + 1) & mask; t.slots[i].live; i = (i + 1) & mask {
		home := t.home(t.slots[i].id)
		if (i-home)&mask >= (i-hole)&mask {
			t.slots[hole] = t.slots[i]
			hole = i
		}
	}
	t.slots[hole] = entry[K]{}
	t.n--
}

// takeIf removes every packet for which match is true, and gives each to f.
func (t *heldTable[K]) takeIf(match func(*entry[K]) bool, f func(K)) {
	var taken []entry[K]
	for i := range t.slots {
		if t.slots[i].live && match(&t.slots[i]) {
			taken = append(taken, t.slots[i])
		}
	}
	for _, e := range taken {
		t.take(e.id)
		f(e.key)
	}
}
