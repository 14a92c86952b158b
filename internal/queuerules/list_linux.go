package queuerules

import "errors"

// List lists the rules that queue packets in the network namespace of the calling thread. It needs CAP_NET_ADMIN there;
// without it the error is fs.ErrPermission. What could be read is returned with an error too.
func List() ([]Rule, error) {
	rules, err := nft()
	old, oldErr := legacy()
	return append(rules, old...), errors.Join(err, oldErr)
}
