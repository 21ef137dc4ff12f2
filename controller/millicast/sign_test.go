package millicast

import (
	"testing"

	"github.com/oncue/oncue/configs/secret"
)

// The platform's documented delivery.
const (
	vectorSecret = "c2VjcmV0LWtleS1mb3ItdGVzdHM="
	vectorBody   = `{"type":"viewerConnection","event":"ViewerAttempt","timestamp":1727442713604,` +
		`"data":{"name":"myAwesomeStream","accountId":"ABC123","streamId":"ABC123/myAwesomeStream"}}`
	vectorSignature = "sha1=ae5a91d8ef5ef9fb17b82f3b1ee5ad494f8ce938"
)

func TestSignGivesTheDocumentedSignature(t *testing.T) {
	if got := Sign(secret.New(vectorSecret), []byte(vectorBody)); got != vectorSignature {
		t.Errorf("Sign = %q, want %q", got, vectorSignature)
	}
}
