"""The admin client of each version, pointed at the server, and a note of what of it was called."""

import importlib.metadata
import inspect
import os
import secrets

import pinecone

CONTROL = os.environ["PINYON_CONTROL"]
CLIENT_ID = os.environ["PINYON_CLIENT_ID"]
CLIENT_SECRET = os.environ["PINYON_CLIENT_SECRET"]
VERSION = tuple(int(part) for part in importlib.metadata.version("pinecone").split(".")[:2])
FIXED_HOSTS = ("https://login.pinecone.io", "https://api.pinecone.io")

called = set()


def unique(name):
    return f"{name}-{secrets.token_hex(4)}"


def redirect(url):
    for host in FIXED_HOSTS:
        if url.startswith(host):
            return CONTROL + url.removeprefix(host)
    return url


def redirect_fixed_hosts():
    """Does what name resolution would do for clients whose hosts are written in: 7.3 and 8.1 send by urllib3, 9.1 by httpx."""
    if VERSION < (9,):
        import urllib3

        original = urllib3.PoolManager.request
        urllib3.PoolManager.request = lambda self, method, url, *args, **kwargs: original(self, method, redirect(url), *args, **kwargs)
    elif VERSION < (10,):
        import httpx

        original = httpx.HTTPTransport.handle_request

        def handle_request(self, request):
            request.url = httpx.URL(redirect(str(request.url)))
            request.headers["host"] = request.url.netloc.decode()
            return original(self, request)

        httpx.HTTPTransport.handle_request = handle_request


def client(client_id=CLIENT_ID, client_secret=CLIENT_SECRET):
    if VERSION >= (10,):
        return pinecone.Admin(client_id=client_id, client_secret=client_secret, host=CONTROL, oauth_url=f"{CONTROL}/oauth/token")
    return pinecone.Admin(client_id=client_id, client_secret=client_secret)


NAMES = ("organizations", "projects", "api_keys", "service_accounts", "users", "invites", "role_bindings")


def resources(admin):
    return {name: getattr(admin, name) for name in NAMES if hasattr(type(admin), name)}


def surface(admin):
    """`resource.method` of everything public that the client offers."""
    found = set()
    for name, resource in resources(admin).items():
        methods = inspect.getmembers(type(resource), inspect.isfunction)
        found |= {f"{name}.{method}" for method, _ in methods if not method.startswith("_")}
    return found


def watch(admin):
    """Notes every method that is called from outside of the client."""
    for name, resource in resources(admin).items():
        for method, function in inspect.getmembers(type(resource), inspect.isfunction):
            if not method.startswith("_"):
                setattr(type(resource), method, noting(f"{name}.{method}", function))
    return admin


def noting(name, function):
    def call(*args, **kwargs):
        called.add(name)
        return function(*args, **kwargs)

    return call


redirect_fixed_hosts()
