package packet_test

import "encoding/binary"

// This file is the slow, obvious twin of UpdateChecksums: every checksum is taken byte by byte as the RFCs describe it,
// with none of the code under test.

// slowSum is RFC 1071: the ones' complement of the ones' complement sum of all 16-bit words.
func slowSum(parts ...[]byte) uint16 {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	total := 0
	for i := 0; i < len(all); i += 2 {
		total += int(all[i])*256 + int(all[i+1])
		if total > 0xffff {
			total = total - 0x10000 + 1
		}
	}
	return uint16(0xffff - total)
}

// slowCRC32C is RFC 9260, appendix A, one bit at a time.
func slowCRC32C(b []byte) uint32 {
	crc := uint32(0xffffffff)
	for _, c := range b {
		crc ^= uint32(c)
		for range 8 {
			if crc&1 == 1 {
				crc = crc>>1 ^ 0x82f63b78
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}

// slowUpdate returns b with true checksums; ok is false when the packet is not whole and sound.
func slowUpdate(b []byte) (out []byte, ok bool) {
	out = append([]byte(nil), b...)
	if len(b) == 0 {
		return nil, false
	}
	switch b[0] >> 4 {
	case 4:
		return slowUpdate4(out)
	case 6:
		return slowUpdate6(out)
	}
	return nil, false
}

func slowUpdate4(b []byte) ([]byte, bool) {
	if len(b) < 20 {
		return nil, false
	}
	header, total := int(b[0]%16)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header || total > len(b) {
		return nil, false
	}
	src, dst := b[12:16], b[16:20]
	// A source route ends at the last address of its list, unless the list is used up.
	for o := b[20:header]; len(o) > 0 && o[0] != 0; {
		if o[0] == 1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			break
		}
		option := o[:o[1]]
		o = o[len(option):]
		if option[0] != 131 && option[0] != 137 || len(option) < 7 || len(option)%4 != 3 {
			continue
		}
		if int(option[2]) < len(option)-2 {
			dst = option[len(option)-4:]
			break
		}
	}
	fragment := b[6]&0x20 != 0 || b[6]&0x1f != 0 || b[7] != 0
	protocol, rest := b[9], b[header:total]
	for protocol == 51 && (b[6]&0x1f == 0 && b[7] == 0) {
		if len(rest) < 2 || len(rest) < 8+4*int(rest[1]) {
			return nil, false
		}
		protocol, rest = rest[0], rest[8+4*int(rest[1]):]
	}
	if !fragment && !slowTransport(protocol, src, dst, rest) {
		return nil, false
	}
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], slowSum(b[:header]))
	return b, true
}

func slowUpdate6(b []byte) ([]byte, bool) {
	if len(b) < 40 {
		return nil, false
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length > len(b)-40 || length == 0 && len(b) > 40 {
		return nil, false
	}
	src, dst := b[8:24], b[24:40]
	next, rest := b[6], b[40:40+length]
	fragment := false
	for {
		size := 0
		switch next {
		case 0, 43, 60:
			if len(rest) < 2 {
				return nil, false
			}
			size = (int(rest[1]) + 1) * 8
		case 44:
			size = 8
		case 51:
			if len(rest) < 2 {
				return nil, false
			}
			size = (int(rest[1]) + 2) * 4
		default:
			if fragment {
				return b, true
			}
			return b, slowTransport(next, src, dst, rest)
		}
		if len(rest) < size {
			return nil, false
		}
		header := rest[:size]
		switch next {
		case 43:
			list := header[8:]
			left, kind := header[3], header[2]
			switch {
			case left == 0:
			case (kind == 0 || kind == 2) && len(list) > 0 && len(list)%16 == 0:
				dst = list[len(list)-16:]
			case kind == 4 && len(list) >= 16:
				dst = list[:16]
			default:
				dst = nil
			}
		case 60:
			for o := header[2:]; len(o) > 0; {
				if o[0] == 0 {
					o = o[1:]
					continue
				}
				if len(o) < 2 || len(o) < 2+int(o[1]) {
					break
				}
				if o[0] == 201 && o[1] == 16 {
					src = o[2:18]
					break
				}
				o = o[2+int(o[1]):]
			}
		case 44:
			if header[3]&1 == 1 {
				fragment = true
			}
			if header[2] != 0 || header[3]&0xf8 != 0 {
				return b, true // what follows is not a header
			}
		}
		next, rest = header[0], rest[size:]
	}
}

// slowTransport makes the checksum of a transport packet true; src and dst are those of the pseudo-header.
func slowTransport(protocol byte, src, dst, t []byte) bool {
	pseudo := func(n int) []byte {
		p := append(append([]byte{}, src...), dst...)
		if len(src) == 4 {
			return append(p, 0, protocol, byte(n>>8), byte(n))
		}
		return append(p, 0, 0, byte(n>>8), byte(n), 0, 0, 0, protocol)
	}
	put := func(covered []byte, at int, p []byte, zeroAs uint16) {
		covered[at], covered[at+1] = 0, 0
		s := slowSum(p, covered)
		if s == 0 {
			s = zeroAs
		}
		binary.BigEndian.PutUint16(covered[at:], s)
	}
	switch protocol {
	case 1, 2:
		if len(t) < 8 {
			return false
		}
		put(t, 2, nil, 0)
	case 6:
		if len(t) < 20 || dst == nil {
			return false
		}
		put(t, 16, pseudo(len(t)), 0)
	case 17:
		if len(t) < 8 {
			return false
		}
		n := int(binary.BigEndian.Uint16(t[4:]))
		if n < 8 || n > len(t) {
			return false
		}
		if len(src) == 4 && t[6] == 0 && t[7] == 0 {
			return true
		}
		if dst == nil {
			return false
		}
		put(t[:n], 6, pseudo(n), 0xffff)
	case 58:
		if len(t) < 8 || dst == nil {
			return false
		}
		put(t, 2, pseudo(len(t)), 0)
	case 132:
		if len(t) < 12 {
			return false
		}
		copy(t[8:12], []byte{0, 0, 0, 0})
		binary.LittleEndian.PutUint32(t[8:], slowCRC32C(t))
	case 136:
		if len(t) < 8 {
			return false
		}
		n := int(binary.BigEndian.Uint16(t[4:]))
		if n == 0 {
			n = len(t)
		}
		if n < 8 || n > len(t) || dst == nil {
			return false
		}
		put(t[:n], 6, pseudo(len(t)), 0xffff)
	}
	return true
}
