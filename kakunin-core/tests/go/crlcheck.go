// crlcheck ROOT ISSUING LEAF CRL: the chain and the CRL as Go's standard library sees them, and whether the
// leaf is on it. All PEM.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func der(path string) []byte {
	text, err := os.ReadFile(path)
	fail(err)
	block, _ := pem.Decode(text)
	if block == nil {
		fail(fmt.Errorf("%s holds no PEM", path))
	}
	return block.Bytes
}

func certificate(path string) *x509.Certificate {
	parsed, err := x509.ParseCertificate(der(path))
	fail(err)
	return parsed
}

func main() {
	root, issuing, leaf := certificate(os.Args[1]), certificate(os.Args[2]), certificate(os.Args[3])
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	between.AddCert(issuing)
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	fail(err)
	crl, err := x509.ParseRevocationList(der(os.Args[4]))
	fail(err)
	fail(crl.CheckSignatureFrom(issuing))
	if !bytes.Equal(crl.AuthorityKeyId, issuing.SubjectKeyId) || crl.Number.Sign() <= 0 {
		fail(fmt.Errorf("authority key identifier %x, number %v", crl.AuthorityKeyId, crl.Number))
	}
	if now := time.Now(); now.Before(crl.ThisUpdate) || now.After(crl.NextUpdate) {
		fail(fmt.Errorf("valid from %v to %v", crl.ThisUpdate, crl.NextUpdate))
	}
	for _, entry := range crl.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
			fmt.Println("revoked for", entry.ReasonCode)
			return
		}
	}
	fmt.Println("good")
}
