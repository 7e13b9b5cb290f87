#!/bin/sh
# Makes the webhook's certificate, and the authority that signs it, for kustomization.yaml beside this script.
#
#   make-certificate.sh [--days N] [--new-authority] [--folder DIR]
#
#   --days N           how long the certificate is good for (default 365)
#   --new-authority    another authority; the one before stays trusted until the next time
#   --folder DIR       where to (default: generated/ beside this script, which git ignores)
#
# Again and again: the authority that is there is used again, so that nothing but the certificate changes and no pod is refused
# while the new one makes its way to the webhook. ca.key is needed for that and never leaves the folder; without it the next
# run makes a new authority.
set -eu
umask 077

service=portcullis-webhook
namespace=portcullis-system
authority_days=3650

stop() { echo "make-certificate.sh: $1" >&2; exit "${2:-1}"; }
usage() { stop "$1
usage: make-certificate.sh [--days N] [--new-authority] [--folder DIR]" 2; }

days=365
new_authority=no
folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/generated
while [ $# -gt 0 ]; do
  case $1 in
    --days) [ $# -ge 2 ] || usage "--days takes a number"; days=$2; shift 2 ;;
    --folder) [ $# -ge 2 ] || usage "--folder takes a folder"; folder=$2; shift 2 ;;
    --new-authority) new_authority=yes; shift ;;
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) usage "there is no $1" ;;
  esac
done
case $days in
  '' | 0* | *[!0-9]*) usage "--days takes a number of days from 1 to 3650, not '$days'" ;;
esac
[ "${#days}" -le 4 ] && [ "$days" -le "$authority_days" ] || usage "--days takes a number of days from 1 to 3650, not '$days'"
for tool in openssl base64 tr mktemp; do
  command -v "$tool" >/dev/null 2>&1 || stop "there is no $tool: install it (apt-get install openssl coreutils)"
done

mkdir -p "$folder" || stop "$folder cannot be made"
# Everything is made beside and moved at the end: a run that fails leaves what was there.
work=$(mktemp -d "$folder/.making.XXXXXX") || stop "$folder cannot be written to"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; stop "'$1 $2' failed"; }; }

# --- The authority ---------------------------------------------------------------------------------------------------
if [ "$new_authority" = no ] && [ -f "$folder/ca.crt" ] && [ -f "$folder/ca.key" ]; then
  # Not one that ends before the certificate does: nobody would notice until then.
  openssl x509 -in "$folder/ca.crt" -noout -checkend "$((days * 86400))" >/dev/null 2>&1 ||
    stop "the authority in $folder ends before the certificate would (or cannot be read): say --new-authority"
  cp "$folder/ca.crt" "$folder/ca.key" "$work/"
  echo "authority: the one that is in $folder"
else
  cat >"$work/ca.conf" <<CONF
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = $service authority
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONF
  quietly openssl ecparam -name prime256v1 -genkey -noout -out "$work/ca.key"
  quietly openssl req -x509 -new -sha256 -key "$work/ca.key" -config "$work/ca.conf" -days "$authority_days" -out "$work/ca.crt"
  echo "authority: a new one"
fi

# --- The certificate -------------------------------------------------------------------------------------------------
cat >"$work/tls.conf" <<CONF
[req]
prompt = no
distinguished_name = name
[name]
CN = $service.$namespace.svc
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:$service.$namespace.svc, DNS:$service.$namespace.svc.cluster.local
CONF
quietly openssl ecparam -name prime256v1 -genkey -noout -out "$work/tls.key"
quietly openssl req -new -sha256 -key "$work/tls.key" -config "$work/tls.conf" -out "$work/tls.csr"
serial=0x$(openssl rand -hex 16 | sed 's/^./4/') # positive, and unlike any other
quietly openssl x509 -req -sha256 -in "$work/tls.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -set_serial "$serial" \
  -days "$days" -extfile "$work/tls.conf" -extensions extensions -out "$work/tls.crt"
quietly openssl verify -CAfile "$work/ca.crt" -verify_hostname "$service.$namespace.svc" "$work/tls.crt"

# --- What the API server trusts --------------------------------------------------------------------------------------
# After a change of authority both: until the new certificate has reached every webhook, the old one is still shown.
cp "$work/ca.crt" "$work/trusted"
if [ "$new_authority" = yes ] || [ ! -f "$folder/ca.key" ]; then
  [ ! -f "$folder/ca.crt" ] || cat "$folder/ca.crt" >>"$work/trusted"
fi
bundle=$(base64 <"$work/trusted" | tr -d '\n')
cat >"$work/ca-bundle.yaml" <<YAML
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: portcullis
webhooks:
  - name: inject-namespace.portcullis.dev
    clientConfig: { caBundle: $bundle }
  - name: inject-pod.portcullis.dev
    clientConfig: { caBundle: $bundle }
YAML

for file in ca.key ca.crt tls.key tls.crt ca-bundle.yaml; do mv -f "$work/$file" "$folder/$file"; done
echo "certificate: $folder/tls.crt, for $service.$namespace.svc, $(openssl x509 -in "$folder/tls.crt" -noout -enddate | sed 's/notAfter=/until /')"
echo "next: kubectl apply -k deploy/kubernetes/self-signed"
