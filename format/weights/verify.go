package weights

import "context"

// Verify compares the checksums that a file's container holds, the CRC-32 of each entry of an archive (npz, and pytorch as it is written
// since 1.6), with the data: it reads what was not read yet. The error names the entry that is damaged. Other formats have none.
func Verify(ctx context.Context, f File) error {
	if v, ok := Inner(f).(interface {
		Verify(ctx context.Context) error
	}); ok {
		return v.Verify(ctx)
	}
	return nil
}
