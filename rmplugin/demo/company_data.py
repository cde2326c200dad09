"""Word lists from which the sample company is made. Every name is a common one; no person is meant."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """A place of work.

    :param weight: its share of the people, relative to the others.
    :param languages: ISO 639-1 codes spoken there besides English.
    :param names: which name list is the usual one there.
    """

    name: str
    city: str
    country: str
    time_zone: str
    weight: int
    languages: tuple[str, ...]
    names: str


SITES = (
    Site("Berlin HQ", "Berlin", "DE", "Europe/Berlin", 30, ("de",), "german"),
    Site("London", "London", "GB", "Europe/London", 17, (), "british"),
    Site("New York", "New York", "US", "America/New_York", 16, ("es",), "american"),
    Site("Bangalore", "Bengaluru", "IN", "Asia/Kolkata", 18, ("hi",), "indian"),
    Site("São Paulo", "São Paulo", "BR", "America/Sao_Paulo", 10, ("pt",), "brazilian"),
    Site("Singapore", "Singapore", "SG", "Asia/Singapore", 9, ("zh",), "singaporean"),
)


def _words(text: str) -> tuple[str, ...]:
    """Split a list of names at its commas."""
    return tuple(word.strip() for word in text.split(","))


# Given names and family names by origin; about one person in five has a name from another list.
NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "german": (
        _words(
            "Anna, Jonas, Lena, Felix, Miriam, Jürgen, Sabine, Tobias, Katrin, Moritz, Heike, Stefan, "
            "Ayşe, Emre, Nele, Björn, Ursula, Matthias, Franziska, Karim"
        ),
        _words(
            "Müller, Schmidt, Wagner, Becker, Hoffmann, Krüger, Yılmaz, Vogel, Neumann, Schröder, "
            "Brandt, Köhler, Kaya, Winkler, Lorenz, Weiß, Nowak, Albrecht, Sommer, Petersen"
        ),
    ),
    "british": (
        _words(
            "Olivia, Harry, Amelia, George, Fatima, Priya, Rhys, Siobhan, Callum, Grace, Imran, Zara, "
            "Alistair, Chloe, Kwame, Eleanor, Tariq, Bethan, Declan, Ngozi"
        ),
        _words(
            "Smith, Jones, Taylor, Patel, Hughes, Khan, Campbell, Wright, Okafor, Ahmed, Murphy, "
            "Davies, Green, O'Brien, Begum, Fraser, Mensah, Clarke, Hussain, Bennett"
        ),
    ),
    "american": (
        _words(
            "Emily, Jacob, Sofia, Michael, Aaliyah, Daniel, Grace, Carlos, Hannah, Tyrone, Mei, "
            "Joshua, Rosa, Ethan, Keisha, David, Alicia, Noah, Elena, Marcus"
        ),
        _words(
            "Johnson, Williams, Garcia, Brown, Martinez, Davis, Nguyen, Rodriguez, Washington, Cohen, "
            "Kim, Rivera, Jackson, Thompson, Lopez, Goldberg, Harris, Wong, Torres, Robinson"
        ),
    ),
    "indian": (
        _words(
            "Aarav, Ananya, Rohan, Kavya, Vikram, Deepa, Arjun, Meera, Sanjay, Lakshmi, Farhan, "
            "Nisha, Karthik, Pooja, Rahul, Divya, Suresh, Ishita, Naveen, Shreya"
        ),
        _words(
            "Sharma, Iyer, Reddy, Gupta, Nair, Rao, Singh, Menon, Kulkarni, Shetty, Banerjee, Khanna, "
            "Pillai, Joshi, Desai, D'Souza, Verma, Hegde, Mehta, Bose"
        ),
    ),
    "brazilian": (
        _words(
            "Ana, João, Beatriz, Pedro, Camila, Lucas, Luiza, Rafael, Juliana, Thiago, Larissa, "
            "Gustavo, Fernanda, Caio, Mariana, Rodrigo, Isabela, Marcelo, Yuki, Vinícius"
        ),
        _words(
            "Silva, Santos, Oliveira, Souza, Pereira, Costa, Ferreira, Almeida, Ribeiro, Carvalho, "
            "Gomes, Nakamura, Araújo, Barbosa, Rocha, Moraes, da Cruz, de Lima, dos Anjos, Conceição"
        ),
    ),
    "singaporean": (
        _words(
            "Wei, Hui, Siti, Jun, Aisyah, Kumar, Li, Rachel, Farid, Xin, Priscilla, Zhi, Nurul, "
            "Darren, Jia, Arun, Mei Ling, Kai Xiang, Hui Min, Yong Sheng"
        ),
        _words(
            "Tan, Lim, Lee, Ng, Wong, Goh, Chua, Ong, Koh, Teo, Rahman, Ismail, Subramaniam, Chen, "
            "Yeo, Hassan, Low, Sim, Ho, Toh"
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Department:
    """A department.

    :param weight: its share of the people, relative to the others.
    :param craft: the word that job titles are built with, such as "Software Engineer".
    :param head: title of the person at its top, when that person is an officer of the company.
    :param under: the department whose head leads this one's; None for the chief executive.
    """

    name: str
    division: str
    weight: int
    craft: str
    head: str
    cost_center: int
    under: str | None = None


TOP = Department("Executive Office", "Business", 0, "Assistant", "Chief Executive Officer", 1000)
DEPARTMENTS = (
    Department("Engineering", "Products", 24, "Software Engineer", "Chief Technology Officer", 4100),
    Department("Product", "Products", 8, "Product Manager", "Chief Product Officer", 4200),
    Department("Data", "Products", 7, "Data Analyst", "Chief Data Officer", 4300, "Engineering"),
    Department("Sales", "Market", 17, "Account Manager", "Chief Sales Officer", 5100),
    Department("Marketing", "Market", 8, "Marketing Specialist", "Chief Marketing Officer", 5200),
    Department("Customer Care", "Market", 11, "Support Specialist", "Chief Customer Officer", 5300),
    Department("Operations", "Business", 11, "Operations Specialist", "Chief Operating Officer", 6100),
    Department("Finance", "Business", 6, "Financial Analyst", "Chief Financial Officer", 6200),
    Department("People and Learning", "Business", 5, "People Partner", "Chief People Officer", 6300),
    Department("Legal and Risk", "Business", 3, "Legal Counsel", "General Counsel", 6400, "Finance"),
)

# Grade -> rank, 0 the most junior to 100 the most senior. The HR export holds the grade only.
SENIORITY = {
    "G1": 0,
    "G2": 8,
    "G3": 16,
    "G4": 25,
    "G5": 34,
    "G6": 43,
    "G7": 52,
    "G8": 61,
    "G9": 70,
    "G10": 80,
    "G11": 90,
    "G12": 100,
}
# Grades of people who lead nobody, with their share.
STAFF_GRADES = {1: 3, 2: 18, 3: 24, 4: 25, 5: 20, 6: 10}
DIRECTOR = 9

# Canonical field -> column of the export, in the order of the columns.
COLUMNS = {
    "employee_number": "Personnel No",
    "family_name": "Last name",
    "given_name": "First name",
    "display_name": "Display name",
    "email": "Work e-mail",
    "job_title": "Job title",
    "grade": "Grade",
    "department": "Department",
    "division": "Division",
    "cost_center": "Cost centre",
    "location": "Site",
    "city": "City",
    "country": "Country",
    "time_zone": "Time zone",
    "manager_employee_number": "Manager personnel no",
    "employment_type": "Employment type",
    "status": "Status",
    "hire_date": "Hire date",
    "termination_date": "Leaving date",
}
