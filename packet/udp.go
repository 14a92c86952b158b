package packet

// UDP, RFC 768. UDP-Lite (RFC 3828) has the number of checksummed bytes in the place of Length; 0 means all.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|          Source Port          |       Destination Port        |
//	+-------------------------------+-------------------------------+
//	|             Length            |            Checksum           |
//	+-------------------------------+-------------------------------+
const (
	udpLength   = 4
	udpChecksum = 6
	udpSize     = 8
)

// SCTP, RFC 9260. The checksum is a CRC32c of the SCTP packet alone, stored little-endian.
//
//	+-------------------------------+-------------------------------+
//	|          Source Port          |       Destination Port        |
//	+-------------------------------+-------------------------------+
//	|                       Verification Tag                        |
//	+---------------------------------------------------------------+
//	|                           Checksum                            |
//	+---------------------------------------------------------------+
const (
	sctpChecksum = 8
	sctpSize     = 12
)
