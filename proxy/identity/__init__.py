"""Who is calling: tokens, gateway keys, cookies and addresses become one ``core.identity.Identity``.

``authenticator.Authenticator`` is the door, ``jwks.KeySets`` is what it needs from outside; the rest decides.
"""
