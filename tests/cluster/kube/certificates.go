package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates writes the authority's certificate (ca.crt) and the API server's (api.crt, api.key), which pods, parts and those
// outside accept under the addresses that each of them uses. Returns the authority's.
func certificates(folder string) ([]byte, error) {
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "everloop-test"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP(nodeAddress), net.ParseIP(apiService)},
		DNSNames:    []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"},
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	authorityCertificate, err := issue(authority, authority, authorityKey, authorityKey)
	if err != nil {
		return nil, err
	}
	key([]string{filepath.Join(folder, "api.key")})
	serverKey, err := readKey(filepath.Join(folder, "api.key"))
	if err != nil {
		return nil, err
	}
	serverCertificate, err := issue(server, authority, serverKey, authorityKey)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "api.crt"), serverCertificate, 0o644); err != nil {
		return nil, err
	}
	return authorityCertificate, os.WriteFile(filepath.Join(folder, "ca.crt"), authorityCertificate, 0o644)
}

func issue(subject, issuer *x509.Certificate, subjectKey, issuerKey *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, subject, issuer, &subjectKey.PublicKey, issuerKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	return x509.ParseECPrivateKey(block.Bytes)
}
