"""Who may see what was captured, and who may send more."""

from .gate import HOST_SCOPE as HOST_SCOPE
from .gate import Gate as Gate
from .hostlogin import proxy_header as proxy_header
from .paths import local_path as local_path
from .policies import Everybody as Everybody
from .policies import Policy as Policy
from .private_file import PrivateFileError as PrivateFileError
from .signin import SignIn as SignIn
from .tokens import Tokens as Tokens
from .users import Users as Users
from .visits import User as User
from .visits import Visit as Visit
from .visits import require_admin as require_admin
from .visits import require_user as require_user
