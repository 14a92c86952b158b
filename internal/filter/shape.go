package filter

import (
	"ipq/packet"
	"ipq/rules"
)

// shapes is a set of kinds of packet: each packet has a family and a class of protocols, and so exactly one shape.
type shapes uint16

// class is a protocol that a filter can name, or all others.
type class uint8

const (
	classTCP class = iota
	classUDP
	classSCTP
	classICMP
	classICMPv6
	classOther
	classes = 6
)

// named are the numbers of the classes but the last.
var named = [classOther]packet.Protocol{packet.TCP, packet.UDP, packet.SCTP, packet.ICMP, packet.ICMPv6}

const (
	oneFamily shapes = 1<<classes - 1
	shapes4          = oneFamily
	shapes6          = oneFamily << classes
	allShapes        = shapes4 | shapes6
)

// ofProtocol are the shapes of both families with a protocol.
func ofProtocol(p packet.Protocol) shapes {
	for c, n := range named {
		if n == p {
			return (1 | 1<<classes) << c
		}
	}
	return allShapes
}

// ofFamily are the shapes of a family, 4 or 6.
func ofFamily(version uint8) shapes {
	switch version {
	case 4:
		return shapes4
	case 6:
		return shapes6
	}
	return allShapes
}

func ofProtocols(list []packet.Protocol) shapes {
	var s shapes
	for _, p := range list {
		s |= ofProtocol(p)
	}
	return s
}

// protocols are the rules' names of the classes in a set of one family, without the last class.
func (s shapes) protocols() []rules.Protocol {
	var list []rules.Protocol
	for c, n := range named {
		if s&(1<<c) != 0 {
			list = append(list, rules.Protocol(n))
		}
	}
	return list
}
