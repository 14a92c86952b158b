package packet

// TCP, RFC 9293:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|          Source Port          |       Destination Port        |
//	+-------------------------------+-------------------------------+
//	|                        Sequence Number                        |
//	+---------------------------------------------------------------+
//	|                    Acknowledgment Number                      |
//	+-------+-----+-----------------+-------------------------------+
//	| Offset| Rsv |A|C|E|U|A|P|R|S|F|           Window              |
//	+-------+-----+-----------------+-------------------------------+
//	|            Checksum           |         Urgent Pointer        |
//	+-------------------------------+-------------------------------+
//	|                    Options, if Offset > 5                     |
//	+---------------------------------------------------------------+
const (
	srcPort = 0 // the same in TCP, UDP, UDP-Lite and SCTP
	dstPort = 2

	tcpSeq      = 4
	tcpAck      = 8
	tcpFlags    = 12 // with the data offset, in units of 4 bytes, in the upper four bits
	tcpWindow   = 14
	tcpChecksum = 16
	tcpUrgent   = 18
	tcpSize     = 20 // without options

	tcpFlagMask = 0x01ff
)
