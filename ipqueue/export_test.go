package ipqueue

// Journal remembers requests of programs that are named by numbers.
type Journal struct{ j journal[int, int] }

func (j *Journal) Add(key, program int, request []byte)          { j.j.add(key, program, request) }
func (j *Journal) Take(key int) (program int, b []byte, ok bool) { return j.j.take(key) }

const (
	JournalBytes   = journalBytes
	JournalRecords = journalRecords
)

func (h Hello) Append(b []byte) []byte { return h.append(b) }

func ParseHello(b []byte) (h Hello, status bool, err error) { return parseHello(b) }
